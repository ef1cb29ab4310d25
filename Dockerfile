# Two stages: the first has what is needed to install, the second only what is needed to run.
# docker build --tag conferral:0.1.0 .

# By digest, so that no one can change what is built on. To renew it, in both stages, choose a tag of
# https://hub.docker.com/_/python, then: docker buildx imagetools inspect python:TAG --format '{{.Manifest.Digest}}'
FROM python:3.13.12-slim@sha256:f1927c75e81efd1e091dbd64b6c0ecaa5630b38635a3d1c04034ac636e1f94c8 AS builder

# The environment has no pip of its own: the image's pip fills it from outside, so that none is left in the result.
RUN python -m venv --without-pip /opt/conferral
WORKDIR /src

# Every library by version and hash. This layer is made again only when the lock changes.
COPY requirements.lock ./
RUN pip --python /opt/conferral/bin/python install --no-cache-dir --require-hashes --only-binary :all: -r requirements.lock

COPY pyproject.toml setup.py README.md LICENSE ./
COPY conferral conferral
COPY statemachine statemachine
COPY webhooks webhooks
COPY worker worker
# `conferral/tools.json` is a link to it.
COPY docs/reference/tools.json docs/reference/tools.json
RUN pip --python /opt/conferral/bin/python install --no-cache-dir --no-deps --no-build-isolation --no-index . \
    && pip --python /opt/conferral/bin/python uninstall --yes setuptools

FROM python:3.13.12-slim@sha256:f1927c75e81efd1e091dbd64b6c0ecaa5630b38635a3d1c04034ac636e1f94c8

# An unprivileged user: no password, no shell, no home folder, nothing that it may write.
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin conferral
COPY --from=builder /opt/conferral /opt/conferral

ENV PATH=/opt/conferral/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

USER conferral
WORKDIR /opt/conferral

# `conferral` stops on SIGTERM within 10 s; it is process 1, so the signal reaches it.
ENTRYPOINT ["conferral"]
CMD ["--help"]
