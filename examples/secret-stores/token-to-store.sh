#!/bin/sh
# Keeps the token of a ChirpStack API key in a secret store, which alone remembers it:
#
#   sh token-to-store.sh STORE ENTRY            # the token in the store works; a new key only if it does not
#   sh token-to-store.sh STORE ENTRY rotate     # a new key, its token into the store, then the old key is deleted
#
# STORE is a file beside this one, which tells how an entry is read and written. The ENTRY must exist, with `none` in it
# at first, and the key is named after it. Takes CHIRPSTACK_URL and CHIRPSTACK_PASSWORD from the environment.
set -eu

entry=$2
. "$(dirname "$0")/$1.sh"

umask 077
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 143' HUP INT TERM

# job FILE COMMAND [ON_LOST_TOKEN]: the job with its token in this file.
job() {
  docker run --rm --user "$(id -u):$(id -g)" --volume "$folder:/shared" \
    --read-only --cap-drop ALL --security-opt no-new-privileges \
    --env CHIRPSTACK_URL --env CHIRPSTACK_PASSWORD --env CHIRPSTACK_EMAIL \
    --env API_KEY_SCOPE --env API_KEY_READ_ONLY --env API_KEY_NAME="$entry" \
    --env TOKEN_FILE="/shared/$1" --env ON_LOST_TOKEN="${3:-fail}" \
    "${INIT_JOB_IMAGE:-chirpstack-init-job}" "$2"
}

# store FILE: its token into the store.
store() {
  if put <"$folder/$1"; then return; fi
  # An answer may have been lost. Where the store says that it has another token, this one's key is of no use.
  if found=$(get) && [ "$found" != "$(cat "$folder/$1")" ]; then job "$1" revoke; fi
  exit 1
}

saved=$(get)
if [ "$saved" = none ]; then saved=; fi
printf '%s\n' "$saved" >"$folder/token"
job token ensure replace # a key of this name whose token is not in the store is of no use to anybody
if [ "$saved" != "$(cat "$folder/token")" ]; then
  store token
elif [ "${3-}" = rotate ]; then
  job next ensure add # beside the old key, which works until the store has the new token
  store next
  job token revoke
fi
