FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY rewards rewards
COPY tiers tiers
COPY api api
COPY templates templates
RUN python -m venv /opt/rewards && /opt/rewards/bin/pip install --no-cache-dir .

FROM python:3.13-slim
RUN useradd --system --user-group --home-dir /var/lib/rewards --create-home rewards
COPY --from=build /opt/rewards /opt/rewards
# The embedded database, where REWARDS_DATABASE_URL is not set, keeps its data in this volume.
ENV PATH=/opt/rewards/bin:$PATH REWARDS_HOME=/var/lib/rewards REWARDS_LOG_FORMAT=json
VOLUME /var/lib/rewards
WORKDIR /var/lib/rewards
USER rewards
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=30s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
CMD ["sh", "-c", "rewards migrate && exec rewards serve --host 0.0.0.0 --port 8000"]
