# curl and jq, on the same base as the job, for bench/image.py.
ARG PYTHON_IMAGE=python:3.15-alpine
FROM ${PYTHON_IMAGE}
# Alpine's packages, or Debian's where the base has those; their mirror may stand still.
RUN if command -v apk; then apk add --no-cache curl jq; \
    else apt-get -o Acquire::Check-Valid-Until=false update && apt-get install --yes --no-install-recommends curl jq; fi
