# The simulated ChirpStack as a server in a container of its own.
ARG PYTHON_IMAGE=python:3.15-alpine
FROM ${PYTHON_IMAGE}
ARG PIP_INDEX_URL
COPY requirements-dev.lock /tmp/
# Of chirpstack-api only the messages are used, so that grpcio need not come along.
RUN awk '/^[a-z]/ { wanted = /^(chirpstack-api|googleapis-common-protos|protobuf)==/ } wanted' \
      /tmp/requirements-dev.lock >/tmp/requirements.txt \
 && python -m pip install -q --disable-pip-version-check --root-user-action=ignore --no-cache-dir \
      --require-hashes --no-deps -r /tmp/requirements.txt
COPY tests/__init__.py /app/tests/
COPY tests/simulator /app/tests/simulator
WORKDIR /app
ENTRYPOINT ["python", "-m", "tests.simulator", "--host", "0.0.0.0", "--port", "8080"]
CMD ["--api", "v4"]
