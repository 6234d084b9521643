//! What this process takes, as the system tells it.
//!
//! Refused: guesses. Where the system tells nothing there is no number.

/// What the process holds now, and the most it ever held, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Now.
    pub now: u64,
    /// The most so far.
    pub peak: u64,
}

/// The process's memory; nothing where there is no `/proc`.
pub fn resident() -> Option<Resident> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let of = |name: &str| kilobytes(&status, name)?.checked_mul(1024);
    Some(Resident {
        now: of("VmRSS:")?,
        peak: of("VmHWM:")?,
    })
}

/// Free memory, in bytes: an allocation that is too large is granted and kills the process only when
/// it is touched.
pub fn free() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    kilobytes(&text, "MemAvailable:")?.checked_mul(1024)
}

/// The number on the line that begins so.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_system_is_read_and_one_that_is_not_there_is_not() {
        let status = "VmPeak:\t  9 kB\nVmHWM:\t  12 kB\n";
        assert_eq!(kilobytes(status, "VmHWM:"), Some(12));
        assert_eq!(kilobytes(status, "VmRSS:"), None);
    }
}
