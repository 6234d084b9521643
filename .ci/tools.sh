# What a script does about a tool that is missing. Sourced.
#
# By hand it says what to install, and skips; with CI_REQUIRED=1 a missing tool is a failure.

# What to install; then the caller skips what needs it.
lacks() {
    if [ "${CI_REQUIRED:-}" = 1 ]; then
        echo "missing: install $*" >&2
        exit 1
    fi
    echo "skipped: install $*"
}

# A command, and what it comes with; the rest of the script needs it.
need() {
    command -v "$1" >/dev/null && return
    lacks "${@:2}"
    exit 0
}

# Debian's compiler with the sources of `core`, for targets that no installed toolchain has.
need_core() {
    [ -x /usr/bin/cargo ] && [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library" ] && return
    lacks rustc-web rust-web-src cargo-web
    exit 0
}
