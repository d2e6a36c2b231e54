# OpenBao: ENTRY is a path in a KV engine, such as secret/chirpstack.
get() { bao kv get -field=token "$entry"; }
put() { tr -d '\n' | bao kv put "$entry" token=- >/dev/null; }
