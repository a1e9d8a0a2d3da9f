# A small image: dependencies from wheels only, a user without rights, a health check.
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY dmchain ./dmchain
RUN python -m venv /opt/dmchain \
 && /opt/dmchain/bin/pip install --no-cache-dir --only-binary :all: --no-binary dmchain . \
 && find /opt/dmchain -name __pycache__ -type d -prune -exec rm -rf {} + \
 && rm -rf /opt/dmchain/lib/python3.12/site-packages/pip*

FROM python:3.12-slim-bookworm
RUN useradd --uid 10001 --create-home --home-dir /var/lib/dmchain --shell /usr/sbin/nologin dmchain
COPY --from=build /opt/dmchain /opt/dmchain
ENV PATH=/opt/dmchain/bin:$PATH PYTHONUNBUFFERED=1
USER dmchain
WORKDIR /var/lib/dmchain
VOLUME /var/lib/dmchain
EXPOSE 8545
STOPSIGNAL SIGINT
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8545/health', timeout=2)"]
ENTRYPOINT ["dmchain"]
CMD ["devnet", "--host", "0.0.0.0", "--home", "/var/lib/dmchain/devnet"]
