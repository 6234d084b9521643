# What `run` and `sizes` share: tools, builds, boards. Sourced, in this directory.

export CARGO_TERM_COLOR=never
ARM=thumbv7em-none-eabihf
RISCV=riscv32imac-unknown-none-elf
BOARDS="mps2-an386 mps2-an500 virt"
LOGS=target/logs
mkdir -p "$LOGS"

fail() { echo "failed: $*" >&2; exit 1; }

source ../../.ci/tools.sh

tools() {
    need qemu-system-arm qemu-system-arm
    need qemu-system-riscv32 qemu-system-misc
    need arm-none-eabi-ld binutils-arm-none-eabi
    need riscv64-unknown-elf-ld binutils-riscv64-unknown-elf
    # Puts the log together again, whose strings are in the ELF file.
    PATH="$PWD/target/tools/bin:$PATH"
    if ! command -v defmt-print >/dev/null; then
        cargo install --quiet --locked --debug --root target/tools defmt-print --version 1.2.0
    fi
}

target_of() { case "$1" in virt) echo $RISCV ;; *) echo $ARM ;; esac; }
prefix_of() { case "$1" in virt) echo riscv64-unknown-elf- ;; *) echo arm-none-eabi- ;; esac; }
elf_of() { echo "target/device/$(target_of "$1")/release/$2"; }

# cargo COMMAND for a target, with further arguments. A toolchain without the target's core builds
# it from source, as Debian's rustc-web with rust-web-src can.
device() {
    local command=$1 target=$2
    shift 2
    set -- "$command" --quiet --locked --release -p board --target "$target" --target-dir target/device "$@"
    if [ -d "$(rustc --print target-libdir --target "$target" 2>/dev/null)" ]; then
        cargo "$@"
    elif [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library" ]; then
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 cargo "$@" -Zbuild-std=core
    else
        lacks "a toolchain for $target by rustup, or Debian's rustc-web, rust-web-src and cargo-web"
        exit 0
    fi
}

# Runs a program on a board, its log in a file; returns QEMU's exit code. The clock of the machine
# counts instructions.
emulate() {
    local board=$1 program=$2 elf machine
    elf=$(elf_of "$board" "$program")
    case "$board" in
    mps2-an386) machine="qemu-system-arm -M mps2-an386 -cpu cortex-m4" ;;
    mps2-an500) machine="qemu-system-arm -M mps2-an500 -cpu cortex-m7" ;;
    virt) machine="qemu-system-riscv32 -M virt -bios none" ;;
    esac
    local code=0
    timeout 600 $machine -icount shift=0 -display none -monitor none -serial none \
        -semihosting-config enable=on,target=native -kernel "$elf" \
        </dev/null >"$LOGS/$board-$program.defmt" || code=$?
    defmt-print -e "$elf" <"$LOGS/$board-$program.defmt" | sed 's/^[A-Z]* *//' >"$LOGS/$board-$program"
    return $code
}

# What a log, or the host's output, says of something.
said() { awk -v what="$2" '$1 == what { print $2 }' "$1"; }

# Bytes of flash, and of static RAM. The stack is no part of the latter, though riscv-rt makes it a section.
flash() { "$(prefix_of "$1")size" -A "$(elf_of "$1" "$2")" | awk '/^\.(vector_table|text|init\.rust|rodata|data|ARM\.exidx) / { n += $2 } END { print n }'; }
statics() { "$(prefix_of "$1")size" -A "$(elf_of "$1" "$2")" | awk '/^\.(data|bss|uninit) / { n += $2 } END { print n }'; }
