//! What each set should reach, and what it must.

use crate::score::{Measure, Tally, percent};
use std::io::Write;

/// One figure that is held to something. In tenths of a percent.
struct Goal {
    set: &'static str,
    measure: Measure,
    /// What a good model of this size should reach; missing it is told.
    target: usize,
    /// What the shipped model has reached, less the chance of a few hundred cases: below it something broke.
    floor: usize,
}

const fn goal(set: &'static str, measure: Measure, target: usize, floor: usize) -> Goal {
    Goal { set, measure, target, floor }
}

const GOALS: [Goal; 10] = [
    goal("new_names_20", Measure::Constrained, 950, 820),
    goal("new_names_40", Measure::Constrained, 950, 740),
    goal("unseen_pattern", Measure::Constrained, 930, 710),
    goal("unseen_verb", Measure::Constrained, 500, 470),
    goal("invented_tool", Measure::Constrained, 600, 580),
    goal("home_assistant", Measure::Constrained, 880, 850),
    goal("home_assistant", Measure::RightAmongActed, 970, 910),
    goal("home_assistant", Measure::RightKept, 900, 900),
    goal("absent", Measure::RefusedOrAsked, 900, 800),
    goal("near_miss", Measure::RefusedOrAsked, 900, 830),
];

/// Prints each figure beside its target. Returns whether every floor holds.
pub(crate) fn hold(out: &mut impl Write, table: &[(String, Tally)]) -> std::io::Result<bool> {
    let mut whole = true;
    for Goal { set, measure, target, floor } in &GOALS {
        let Some((_, tally)) = table.iter().find(|(name, _)| name == set) else { continue };
        let Some(reached) = tally.share(*measure) else { continue };
        let verdict = match reached {
            reached if reached >= *target => "reached",
            reached if reached >= *floor => "missed",
            _ => "BELOW THE FLOOR",
        };
        let [reached, target, floor] = [reached, *target, *floor].map(percent);
        let what = measure.name();
        writeln!(out, "{set:16} {what:18} {reached:>6}  target {target}: {verdict} (floor {floor})")?;
        whole &= verdict != "BELOW THE FLOOR";
    }
    Ok(whole)
}
