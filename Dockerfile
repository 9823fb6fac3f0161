# The whole stack in one image, built by the script that `make demo` uses; see docs/docker.md.
FROM debian:12-slim

COPY . /opt/sqlml
RUN /opt/sqlml/scripts/install.sh \
    && rm -rf /var/lib/apt/lists/* /root/.cache \
    && ln -s /opt/sqlml/.venv/bin/sqlml /usr/local/bin/sqlml

# Clients come from outside the container, and only to the proxy.
ENV SQLML_PROXY_HOST=0.0.0.0
VOLUME /var/lib/sqlml
EXPOSE 16432
HEALTHCHECK --interval=10s --start-period=60s CMD ["sqlml", "status"]
CMD ["sqlml", "up", "--load-samples"]
