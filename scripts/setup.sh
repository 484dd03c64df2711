#!/usr/bin/env bash
# Installs what a build of Millpond needs and this machine lacks: a C and a C++ compiler (RocksDB, mimalloc, zstd)
# and libclang (RocksDB's bindings are generated while building). Does nothing when all is there.
#
# With `--clients` also the Kafka clients that the tests drive, as far as Debian's packages and the network give them:
# kcat, Python with confluent-kafka, the jars of the Java client. Tests of
# clients that are missing say so and pass.
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

have_compilers() { { have cc || have gcc || have clang; } && { have c++ || have g++ || have clang++; }; }

# The places where the `clang-sys` crate looks.
have_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    local pattern
    for pattern in \
        "/usr/lib/llvm-*/lib/libclang*.so*" "/usr/lib/*-linux-gnu/libclang*.so*" \
        "/usr/lib64/libclang*.so*" "/usr/lib/libclang*.so*" "/usr/local/lib/libclang*.so*" "/usr/lib64/llvm*/lib*/libclang*.so*" \
        "/Library/Developer/CommandLineTools/usr/lib/libclang.dylib" \
        "/Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib/libclang.dylib" \
        "/opt/homebrew/opt/llvm/lib/libclang.dylib" "/usr/local/opt/llvm/lib/libclang.dylib"; do
        # libclang-cpp is the C++ interface, which does not help bindgen.
        compgen -G "$pattern" | grep -v 'libclang-cpp' >/dev/null && return 0
    done
    return 1
}

ready() { have_compilers && have_libclang; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        fail "needs root to run: $* (neither root nor sudo here; run it yourself, then this script again)"
    fi
}

if ! ready; then
    say "installing a C++ compiler and libclang"
    case "$(uname -s)" in
    Linux)
        if have apt-get; then
            as_root apt-get update -qq
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
                build-essential libclang-dev >&2
        elif have dnf; then
            as_root dnf install -y -q gcc gcc-c++ clang-libs clang-devel >&2
        else
            fail "please install a C and a C++ compiler and libclang with this system's package manager"
        fi
        ;;
    Darwin)
        xcode-select --install 2>/dev/null || true
        fail "confirm the dialogue that installs Apple's command line tools, then run this again"
        ;;
    *) fail "this system is not known here: please install a C and a C++ compiler and libclang" ;;
    esac
    ready || fail "the packages were installed, and a C++ compiler or libclang is still not found"
fi

have cargo || fail "Rust is missing: install it as https://rustup.rs describes, then run this again"

if [ "${1:-}" = --clients ]; then
    packages=()
    have kcat || packages+=(kcat)
    python3 -m venv --help >/dev/null 2>&1 && python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
    if [ "${#packages[@]}" -gt 0 ] && have apt-get; then
        say "installing ${packages[*]}"
        # Their absence is no failure: the tests that need them tell.
        { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
            --no-install-recommends "${packages[@]}" >&2; } || say "not installed: ${packages[*]}"
    fi
    for client in python java; do
        "$(dirname "${BASH_SOURCE[0]}")/../tests/kafka/prepare.sh" "$client" >/dev/null || say "tests with $client will be skipped"
    done
fi
