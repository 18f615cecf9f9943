# Shared by the scripts: where things are, how they speak, how they get what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf '\033[31merror:\033[0m %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/colloquy"
WEIGHTS="${COLLOQUY_EMBEDDINGS__LOCAL_PATH:-$CACHE/all-minilm-l6-v2}"

# packages NAME… : installs Debian packages that are missing, or says exactly what to type.
packages() {
    local missing=()
    local name
    for name in "$@"; do
        dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    have apt-get || die "please install with your package manager: ${missing[*]}"
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        if have sudo && sudo -n true 2>/dev/null; then
            sudo=(sudo -n)
        else
            die "some system packages are missing; please type:  sudo apt-get update && sudo apt-get install -y ${missing[*]}"
        fi
    fi
    say "installing ${missing[*]}"
    local log
    log=$(mktemp)
    for _ in 1 2; do # A registry that hiccups once is tried again.
        if "${sudo[@]}" apt-get update -qq >"$log" 2>&1 &&
            DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
            rm -f "$log"
            return 0
        fi
    done
    tail -20 "$log" >&2
    die "could not install ${missing[*]}; please type:  sudo apt-get update && sudo apt-get install -y ${missing[*]}"
}

# The tools every command needs; Rust and Node are the user's to choose.
toolchain() {
    have cargo || die "a Rust toolchain is missing: install rustup from your distribution or https://rustup.rs, then run this again"
    have node && have npm || die "Node.js 20 or newer with npm is missing; please type:  sudo apt-get install -y nodejs npm"
    [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || die "Node.js $(node --version) is too old; version 20 or newer is needed"
    have python3 || die "python3 is missing; please type:  sudo apt-get install -y python3"
    have g++ && have make || packages build-essential
}

# web: the widget's dist/. What is the same stays untouched, so that a second run compiles nothing.
web() {
    if ! { [ -d web/node_modules ] && [ web/node_modules/.package-lock.json -nt web/package-lock.json ]; }; then
        say "fetching the packages the widget and the console are built with"
        (cd web && npm ci --no-audit --no-fund --loglevel=error)
    fi
    say "building the widget and the console"
    (cd web && npm run --silent build)
}

# peers: the vendors' own packages that tests let sign, verify and read what we write.
peers() {
    if ! { [ -d tests/peers/node_modules ] && [ tests/peers/node_modules/.package-lock.json -nt tests/peers/package-lock.json ]; }; then
        say "fetching the vendors' packages that tests talk to"
        (cd tests/peers && npm ci --no-audit --no-fund --loglevel=error)
    fi
}

# server: the release binary, with cargo's own account of how far it is.
server() {
    local binary="${CARGO_TARGET_DIR:-target}/release/colloquy"
    if [ -x "$binary" ]; then
        say "building colloquy"
    else
        say "building colloquy: the first time some 500 crates are compiled, on two processors in 10 to 15 minutes; later only what changed"
    fi
    cargo build --release --locked -p colloquy-server
}
