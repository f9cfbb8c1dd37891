//! Which boot of the machine this is: whether a power cut may lie between two process starts.

const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// The kernel's random name of this boot; empty where the system does not tell.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string(BOOT_ID_FILE).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Whether what the last process had handed to the kernel may be gone (guarantees 4.2): it did not
/// stop cleanly, and the machine was started since. A boot without a name is never another one.
pub(super) fn may_have_forgotten(last_boot: &str, boot: &str, stopped_cleanly: bool) -> bool {
    !stopped_cleanly && !last_boot.is_empty() && !boot.is_empty() && last_boot != boot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_boot_after_an_unclean_stop_may_have_forgotten() {
        assert!(may_have_forgotten("one", "two", false));
        assert!(!may_have_forgotten("one", "one", false), "a killed process loses nothing");
        assert!(!may_have_forgotten("one", "two", true), "everything was synced");
        assert!(!may_have_forgotten("", "two", false), "the first start, or a system without ids");
        assert!(!may_have_forgotten("one", "", false));
    }

    #[test]
    fn the_boot_has_one_name() {
        assert_eq!(boot_id(), boot_id());
        assert!(!boot_id().contains('\n'));
    }
}
