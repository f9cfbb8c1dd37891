//! Stories of objects that change their kind, are deleted, or expire: nothing comes back.

use common::op::{Expiry, Write};

use super::lane::*;

/// Plays the story with every write in a record of its own, with all in one batch, and with the
/// hidden records reclaimed in between: a client sees the same.
fn play(story: &[Write<'_>]) -> [Lane; 3] {
    let mut lanes = [Lane::at(1_000), Lane::at(1_000), Lane::at(1_000)];
    let [singly, together, reclaimed] = &mut lanes;
    for write in story {
        assert!(singly.write(*write).starts_with("done"), "{write:?}");
        reclaimed.write(*write);
        reclaimed.view.reclaim(reclaimed.now_ms);
    }
    together.batch(&[], story);
    lanes
}

#[test]
fn set_over_a_hash_hides_its_fields_for_good() {
    for mut lane in play(&[put("k.f", "old"), put("k.g", "old"), put("k", "v")]) {
        assert_eq!(lane.get(at("k")), "=v #1 @0");
        assert_eq!(lane.get(at("k.f")), "wrong kind");
        assert_eq!(lane.write(put("k.f", "new")), "WrongKind");
        assert_eq!(lane.write(delete_object("k")), "done old #0 @0");
        assert_eq!(lane.describe(object("k")), "Missing @0 #0");
        lane.write(put("k.f", "new"));
        assert_eq!(lane.describe(object("k")), "Hash @0 #1");
    }
}

#[test]
fn set_over_a_hash_then_delete_of_the_record_hides_its_fields_too() {
    for mut lane in play(&[put("k.f", "old"), put("k", "v"), delete("k")]) {
        assert_eq!(lane.describe(object("k")), "Missing @0 #0");
        assert_eq!(lane.get(at("k.f")), "missing");
    }
}

#[test]
fn set_with_expiry_over_a_hash_hides_its_fields_after_the_expiry() {
    let set = put("k", "v").expiring(Expiry::At(1_100));
    for mut lane in play(&[put("k.f", "old"), put("k.g", "old"), set]) {
        lane.now_ms = 1_100;
        assert_eq!(lane.describe(object("k")), "Missing @0 #0");
        lane.write(put("k.f", "new"));
        assert_eq!(lane.describe(object("k")), "Hash @0 #1");
        assert_eq!(lane.get(at("k.f")), "=new #3 @0");
        lane.view.reclaim(lane.now_ms);
        assert_eq!(lane.describe(object("k")), "Hash @0 #1");
    }
}

#[test]
fn a_string_that_expired_does_not_hide_a_hash_written_after_it() {
    let gone = put("k", "v").expiring(Expiry::At(900));
    for mut lane in play(&[gone, put("k.f", "new")]) {
        assert_eq!(lane.get(at("k.f")), "=new #3 @0");
        assert_eq!(lane.get(at("k")), "wrong kind");
    }
}

#[test]
fn a_deleted_hash_is_written_again_without_its_old_fields() {
    let story = [put("k.f", "old"), put("k.g", "old"), delete_object("k"), put("k.f", "new")];
    for mut lane in play(&story) {
        assert_eq!(lane.describe(object("k")), "Hash @0 #1");
        assert_eq!(lane.get(at("k.g")), "missing");
    }
}

#[test]
fn a_deleted_hash_is_one_small_record_whatever_its_size() {
    let mut lane = Lane::at(1_000);
    let names: Vec<_> = (0..1_000).map(|n| format!("k.{n}")).collect();
    for name in &names {
        lane.write(put(name, "v"));
    }
    let before = lane.view.records.len();
    lane.write(delete_object("k"));
    assert_eq!(lane.view.records.len(), before + 1);
    assert_eq!(lane.describe(object("k")), "Missing @0 #0");
}

#[test]
fn an_expired_hash_is_written_again_without_its_old_fields_and_expiry() {
    let story = [put("k.f", "old"), put("k.g", "old"), touch_object("k", Expiry::At(1_100))];
    for mut lane in play(&story) {
        assert_eq!(lane.describe(object("k")), "Hash @1100 #2");
        lane.now_ms = 1_100;
        assert_eq!(lane.describe(object("k")), "Missing @0 #0");
        assert_eq!(lane.get(at("k.f")), "missing");
        lane.write(put("k.f", "new"));
        assert_eq!(lane.describe(object("k")), "Hash @0 #1");
        lane.now_ms = 9_000;
        assert_eq!(lane.get(at("k.f")), "=new #3 @0");
        assert_eq!(lane.get(at("k.g")), "missing");
    }
}

#[test]
fn a_hash_that_expired_in_the_same_batch_stays_gone() {
    let story = [put("k.f", "old"), touch_object("k", Expiry::At(900)), put("k.g", "new")];
    for mut lane in play(&story) {
        assert_eq!(lane.describe(object("k")), "Hash @0 #1");
        assert_eq!(lane.get(at("k.f")), "missing");
    }
}

#[test]
fn a_new_expiry_does_not_bring_back_what_was_cleared() {
    let mut lane = Lane::at(1_000);
    for write in [put("k.f", "old"), delete_object("k"), put("k.g", "new")] {
        lane.write(write);
    }
    lane.write(touch_object("k", Expiry::At(1_100)));
    assert_eq!(lane.describe(object("k")), "Hash @1100 #1");
}

#[test]
fn a_hash_that_lost_its_last_field_lost_its_expiry_as_well() {
    let story =
        [put("k.f", "old"), touch_object("k", Expiry::At(1_100)), delete("k.f"), put("k.f", "new")];
    for mut lane in play(&story) {
        assert_eq!(lane.describe(object("k")), "Hash @0 #1");
    }
}

#[test]
fn a_field_added_to_an_expiring_hash_expires_with_it() {
    for mut lane in play(&[put("k.f", "1"), touch_object("k", Expiry::At(1_100)), put("k.g", "2")])
    {
        assert_eq!(lane.describe(object("k")), "Hash @1100 #2");
        lane.now_ms = 1_100;
        assert_eq!(lane.get(at("k.g")), "missing");
    }
}

#[test]
fn a_string_over_an_expiring_hash_does_not_inherit_its_expiry() {
    for mut lane in play(&[put("k.f", "1"), touch_object("k", Expiry::At(1_100)), put("k", "v")]) {
        lane.now_ms = 1_200;
        assert_eq!(lane.get(at("k")), "=v #1 @0");
        lane.write(delete("k"));
        lane.write(put("k.g", "2"));
        assert_eq!(lane.describe(object("k")), "Hash @0 #1");
    }
}

#[test]
fn every_change_of_kind_in_one_batch_leaves_the_last_one() {
    let story = [
        put("k.f", "1"),
        put("k", "2"),
        delete_object("k"),
        put("k.g", "3"),
        delete_object("k"),
        put("k", "4"),
        delete("k"),
        put("k.f", "5"),
    ];
    for mut lane in play(&story) {
        assert_eq!(lane.describe(object("k")), "Hash @0 #1");
        assert_eq!(lane.get(at("k.f")), "=5 #1 @0");
    }
}
