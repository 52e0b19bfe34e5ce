FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked && cp target/release/snapshot-api /snapshot-api

FROM debian:bookworm-slim
# The user has no name and no home: it owns /data and nothing else.
RUN install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /snapshot-api /usr/local/bin/snapshot-api
USER 10001:10001
ENV SNAPSHOT__DATA_DIR=/data \
    SNAPSHOT__SERVER__BIND=0.0.0.0:8080
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["snapshot-api", "healthcheck"]
ENTRYPOINT ["snapshot-api"]
