# nginx for machines that reach no image registry; it needs a base image with Debian's packages.
ARG PYTHON_IMAGE
FROM ${PYTHON_IMAGE}
RUN apt-get update && apt-get install --yes --no-install-recommends nginx-light
CMD ["nginx", "-g", "daemon off;"]
