# One image: `nearcast` as the entrypoint, run by an ordinary user.
# tests/tests/tidy.rs checks that what is copied exists and that the compiler is the pinned one.

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
# rust-toolchain.toml stays outside: the image is the pinned compiler already,
# and the file would make rustup fetch the components that only developers need.
COPY Cargo.toml Cargo.lock ./
COPY ground ground
COPY edge edge
COPY geodns geodns
COPY origin-mock origin-mock
COPY config config
COPY control control
COPY daemon daemon
COPY cli cli
COPY tests tests
RUN cargo build --release --locked --package nearcast

FROM debian:bookworm-slim
# The roots against which https origins are checked.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin nearcast
COPY --from=build /src/target/release/nearcast /usr/local/bin/nearcast
# Whose data the built-in database is: its licence asks that this goes with it.
COPY --from=build /src/geodns/data/README.md /src/geodns/data/NRO_LICENSE /usr/share/doc/nearcast/
USER nearcast
EXPOSE 80
# The port of `[admin] listen` in the settings file; the probe below asks it.
ENV NEARCAST_ADMIN_PORT=9090
# bash opens the connection itself, so that the image carries no HTTP client for an intruder to use.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$NEARCAST_ADMIN_PORT && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r -t 2 line <&3 && [[ $line == 'HTTP/1.1 200 '* ]]"]
ENTRYPOINT ["nearcast"]
CMD ["run", "--config", "/etc/nearcast/nearcast.toml"]
