# Two stages: Rust builds the program, a plain Debian runs it. Other bases can be given, for a mirror or a newer release:
#   docker build --build-arg BUILDER_IMAGE=rust:1-bookworm --build-arg RUNTIME_IMAGE=debian:trixie-slim -t smache .
# The runtime's C library must not be older than the builder's.
ARG BUILDER_IMAGE=rust:1.95-slim-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${BUILDER_IMAGE} AS build
WORKDIR /build
# Function names for a backtrace stay; line tables would make the image several times as large.
ENV CARGO_PROFILE_RELEASE_DEBUG=none CARGO_PROFILE_RELEASE_STRIP=debuginfo CARGO_TARGET_DIR=/build/target
COPY Cargo.toml Cargo.lock ./
# The dependencies, in a layer that lasts until the manifest changes. Its [[bench]], [[example]] and [[test]] sections are
# taken out, since their files are not here, nor needed.
RUN awk '/^\[/ { kept = !/^\[\[(bench|example|test)\]\]/ } kept' Cargo.toml > Cargo.binary.toml \
    && mv Cargo.binary.toml Cargo.toml \
    && mkdir src && echo 'fn main() {}' > src/main.rs && : > src/lib.rs \
    && cargo build --release --locked --bin smache \
    && rm -r src
COPY src ./src
# Cargo goes by times, and the sources may well be older than the empty ones above.
RUN touch src/main.rs src/lib.rs && cargo build --release --locked --bin smache

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="smache" \
      org.opencontainers.image.description="A self-sharding JSON cache" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /build/target/release/smache /usr/local/bin/smache
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
# Beyond loopback, since clients live outside of the container. The cluster stays on loopback until a deployment says
# where its nodes meet and what protects that network.
ENV SMACHE_BIND=0.0.0.0
EXPOSE 4000 4500 4500/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 CMD ["smache", "status", "--quiet"]
ENTRYPOINT ["smache"]
CMD ["serve"]
