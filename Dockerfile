ARG PYTHON_IMAGE=python:3.15-alpine

# Nothing below /app depends on the processor, so it is made once, by the machine that builds, for every platform.
FROM --platform=$BUILDPLATFORM ${PYTHON_IMAGE} AS build
# For a build behind a package registry of its own; pip reads it from the environment.
ARG PIP_INDEX_URL
COPY requirements.lock /tmp/
RUN python -m pip install --disable-pip-version-check --root-user-action=ignore --no-cache-dir --no-compile \
      --require-hashes --no-deps --only-binary=:all: --platform=any --implementation=py --abi=none \
      --target=/app -r /tmp/requirements.lock
# Dependencies as bytecode only, without their command lines and tests: half the size.
WORKDIR /app
RUN rm -rf bin certifi/tests charset_normalizer/cli google/protobuf/compiler google/protobuf/testdata \
 && python -m compileall -q -b --invalidation-mode unchecked-hash . \
 && find . -name '*.py' -exec rm '{}' +
COPY LICENSE init_job/__main__.py /app/
COPY init_job /app/init_job
COPY docker/stdlib_imports.py /tmp/
# The official images carry no bytecode of the standard library, and compiling it at start takes longer than a whole
# run of the job. Its sources are compared (checked), because another platform's base image may be a release apart.
RUN export PYTHONPATH=/app PYTHONPYCACHEPREFIX=/app/bytecode PYTHONDONTWRITEBYTECODE=1 \
 && python -m compileall -q --invalidation-mode unchecked-hash /app/__main__.py /app/init_job \
 && python /tmp/stdlib_imports.py >/tmp/stdlib \
 && python -m compileall -q --invalidation-mode checked-hash -i /tmp/stdlib \
 && chmod -R u=rwX,go=rX /app \
 && mkdir -p /out/shared && chmod 1777 /out/shared && chown 65532:65532 /out/shared

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="chirpstack-init-job" \
      org.opencontainers.image.description="Gives a ChirpStack (v3 or v4) its first API key, and ends" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /app /app
# A fresh named volume takes its owner and mode from here: any user may add files, only their owner may change them.
COPY --from=build /out /
# Where the token goes unless TOKEN_FILE, ENV_FILE, JSON_FILE or KEYS_FILE is set.
ENV DEFAULT_TOKEN_FILE=/shared/chirpstack_api_token
# For `python /app check` as a health check; the entry point below does not look at it.
ENV PYTHONPYCACHEPREFIX=/app/bytecode PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
# Isolated (-I): of the environment only the job's own variables count. -B: all bytecode is there already.
ENTRYPOINT ["python", "-IB", "-X", "pycache_prefix=/app/bytecode", "/app"]
# The base image's is its interpreter.
CMD []
