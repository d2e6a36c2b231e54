# nginx for machines that reach no image registry; it needs a base image with Debian's packages. Their mirror may stand
# still, and its lists be older than Debian unstable's may be.
ARG PYTHON_IMAGE
FROM ${PYTHON_IMAGE}
RUN apt-get -o Acquire::Check-Valid-Until=false update && apt-get install --yes --no-install-recommends nginx-light
CMD ["nginx", "-g", "daemon off;"]
