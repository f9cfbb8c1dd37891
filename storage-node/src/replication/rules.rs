//! The rules of the protocol that can be switched off to see whether anybody notices.

/// Which rules hold. In production all of them; a simulator removes one to prove its checkers.
///
/// Each is named after the mutant of the executable model that removes it; the last ones are not in
/// the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `NoSeal`: a new leader asks R to promise its epoch and takes the best log.
    pub seal: bool,
    /// `NoSelfSeal`: it promises its own epoch durably first.
    pub self_seal: bool,
    /// `NoDedup`: a request id that is in the log is not applied again (kept by the driver).
    pub dedup: bool,
    /// `AckBeforeFsync`: only what is durable is acknowledged as durable.
    pub ack_after_fsync: bool,
    /// `NoLeaseOnRead`: a read is answered only under a lease.
    pub lease_on_read: bool,
    /// `TakeoverIgnoresLease`: voters take no lane from a leader whose lease runs.
    pub takeover_waits_for_lease: bool,
    /// `HandoverKeepsOld`: a leader stops before it hands its lane over.
    pub handover_ends_old: bool,
    /// `LaneEpochIsLocal`: a since-epoch comes from the register only.
    pub lane_epoch_from_register: bool,
    /// `CutIgnoresEpoch`: the best log has the greatest last epoch, then the greatest length.
    pub cut_by_epoch: bool,
    /// `AckAnyEpoch`: an acknowledgement counts in the stream of its since-epoch only (I18).
    pub ack_own_epoch: bool,
    /// `ShrinkWithoutCas`: a silent server leaves R by compare-and-set only.
    pub shrink_by_cas: bool,
    /// `AddBeforeAcks`: a server enters R after it acknowledged every lane's official records.
    pub add_after_acks: bool,
    /// `IncludeEndsByTimeout`: a returning server stays needed until a newer register epoch.
    pub include_until_epoch: bool,
    /// `AmnesiacShrinks`: a server that may have forgotten asks for nothing until it caught up.
    pub amnesiac_waits: bool,
    /// `StrangerTakesPart`: another data directory under the same node id is another member.
    pub store_is_member: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            seal: true,
            self_seal: true,
            dedup: true,
            ack_after_fsync: true,
            lease_on_read: true,
            takeover_waits_for_lease: true,
            handover_ends_old: true,
            lane_epoch_from_register: true,
            cut_by_epoch: true,
            ack_own_epoch: true,
            shrink_by_cas: true,
            add_after_acks: true,
            include_until_epoch: true,
            amnesiac_waits: true,
            store_is_member: true,
        }
    }
}

impl Rules {
    /// Names of the mutants.
    pub const MUTANTS: [&'static str; 15] = [
        "NoSeal",
        "NoSelfSeal",
        "NoDedup",
        "AckBeforeFsync",
        "NoLeaseOnRead",
        "TakeoverIgnoresLease",
        "HandoverKeepsOld",
        "LaneEpochIsLocal",
        "CutIgnoresEpoch",
        "AckAnyEpoch",
        "ShrinkWithoutCas",
        "AddBeforeAcks",
        "IncludeEndsByTimeout",
        "AmnesiacShrinks",
        "StrangerTakesPart",
    ];

    /// All rules but the one that this mutant removes; `None` for an unknown name.
    #[must_use]
    pub fn without(mutant: &str) -> Option<Self> {
        let mut rules = Self::default();
        let rule = match mutant {
            "NoSeal" => &mut rules.seal,
            "NoSelfSeal" => &mut rules.self_seal,
            "NoDedup" => &mut rules.dedup,
            "AckBeforeFsync" => &mut rules.ack_after_fsync,
            "NoLeaseOnRead" => &mut rules.lease_on_read,
            "TakeoverIgnoresLease" => &mut rules.takeover_waits_for_lease,
            "HandoverKeepsOld" => &mut rules.handover_ends_old,
            "LaneEpochIsLocal" => &mut rules.lane_epoch_from_register,
            "CutIgnoresEpoch" => &mut rules.cut_by_epoch,
            "AckAnyEpoch" => &mut rules.ack_own_epoch,
            "ShrinkWithoutCas" => &mut rules.shrink_by_cas,
            "AddBeforeAcks" => &mut rules.add_after_acks,
            "IncludeEndsByTimeout" => &mut rules.include_until_epoch,
            "AmnesiacShrinks" => &mut rules.amnesiac_waits,
            "StrangerTakesPart" => &mut rules.store_is_member,
            _ => return None,
        };
        *rule = false;
        Some(rules)
    }
}
