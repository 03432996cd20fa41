# The menu: each recipe is a script or a command that works without just, too.

# List the recipes
default:
    @just --list

# Install the packages and tools that everything here needs
packages:
    scripts/packages install

# Build everything
build:
    cargo build --workspace

# Format, as CI wants it
fmt:
    cargo fmt --all

# Lint, as CI does
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Run the tests that do not take long: for daily work
quick *args:
    scripts/test quick {{ args }}

# Run tests: unit, native, guest or all, then parts of names
test *args:
    scripts/test {{ args }}

# Run a command in a guest with device-mapper, with the debug build installed
guest *args:
    scripts/guest --profile debug {{ args }}

# Run a command natively in private namespaces, with the debug build installed
sandbox *args:
    scripts/sandbox --profile debug {{ args }}

# Show the main job on this machine
demo *args:
    scripts/demo {{ args }}

# Time create, snapshot, clone and remove beside LVM's programs, in the guest
bench *args:
    benches/lifecycle {{ args }}

# Time them in groups with few and many volumes, in the guest; --crowd: many clients at once
bench-scale *args:
    benches/scale {{ args }}

# Time reads and writes of an image beside a stock brick, natively
bench-data *args:
    benches/data {{ args }}

# Time writes to thin images beside thin LVs, in the guest
bench-data-lvm *args:
    benches/data-lvm {{ args }}

# Look for errors of memory: address, valgrind or memory
sanitize *args:
    scripts/sanitize {{ args }}

# Build Debian packages; test: try them
deb *args:
    scripts/deb {{ args }}

# What a change must pass
ci:
    .ci/run
