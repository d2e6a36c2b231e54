# AWS Secrets Manager: ENTRY is the secret's name.
get() { aws secretsmanager get-secret-value --secret-id "$entry" --query SecretString --output text; }
put() { tr -d '\n' | aws secretsmanager put-secret-value --secret-id "$entry" --secret-string file:///dev/stdin >/dev/null; }
