//! The file as a whole: its scalar keys, and the parts put together.

use common::ids::FileEpoch;
use common::limits::LOGIC_GROUPS_MAX;

use super::{groups, names, namespaces, servers, settings};
use crate::field::At;
use crate::model::Model;
use crate::problem::Problems;
use crate::topology::Parts;

/// Checks a model. `None`, or a recorded problem, says that it is refused.
pub(crate) fn validate(model: &Model, problems: &mut Problems) -> Option<Parts> {
    check_format(model.format.as_ref(), problems);
    if let Some(cluster) = &model.cluster {
        names::check(cluster, problems);
    }
    let epoch = model.epoch.as_ref().and_then(|epoch| check_epoch(epoch, problems));
    let count = model.logic_groups.as_ref().and_then(|count| check_count(count, problems));
    let known = model.servers.as_ref().map(|models| servers::check(models, problems));
    let voters = servers::voters(model.voters.as_ref(), known.as_ref(), problems);
    let physical_groups = model
        .physical_groups
        .as_ref()
        .map(|groups| groups::check(groups, known.as_ref(), count, problems));
    let write = settings::write(&model.write, crate::WriteOptions::DEFAULT, problems);
    Some(Parts {
        namespaces: namespaces::check(&model.namespaces, write, problems),
        write,
        moves: settings::moves(&model.moves, problems),
        cluster: model.cluster.as_ref()?.value.clone(),
        epoch: epoch?,
        logic_groups: count?,
        servers: known?.servers,
        physical_groups: physical_groups?,
        voters,
    })
}

fn check_format(format: Option<&At<u64>>, problems: &mut Problems) {
    if let Some(format) = format.filter(|format| format.value != 1) {
        let text = format!(
            "format {} is not known to this version; write 1, or use the version the file is for",
            format.value
        );
        problems.push(&format.place, text);
    }
}

fn check_epoch(epoch: &At<u64>, problems: &mut Problems) -> Option<FileEpoch> {
    if epoch.value == 0 {
        problems.push(&epoch.place, "0 is no epoch; begin with 1 and raise it with every change");
        return None;
    }
    Some(FileEpoch(epoch.value))
}

fn check_count(count: &At<u64>, problems: &mut Problems) -> Option<u16> {
    let checked =
        u16::try_from(count.value).ok().filter(|count| (1..=LOGIC_GROUPS_MAX).contains(count));
    if checked.is_none() {
        let text = format!(
            "{} logic groups; write a number from 1 to {LOGIC_GROUPS_MAX}, best a prime",
            count.value
        );
        problems.push(&count.place, text);
    }
    checked
}
