//! The gate: tool risk and device risk against trust and confidence. Every call passes here, whoever wrote it.

use crate::settings::Thresholds;
use hob_events::{Confidence, Risk, Trust};
use std::fmt;

/// What the gate looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// The higher of the tool's risk and the risks of the devices named.
    pub risk: Risk,
    /// How far whoever began the turn is believed.
    pub trust: Trust,
    /// The least that anything in the prompt was believed when the call was written: what tools returned as a device,
    /// what was seen and heard not at all. The turn is believed no more than that, except that a person who began it is
    /// still there to be asked.
    pub lowest: Trust,
    /// How sure the writer was.
    pub confidence: Confidence,
}

/// Why a person is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The action is risky whoever wants it.
    Risk,
    /// The source is not believed enough for this risk.
    Trust,
    /// The model was not sure.
    Confidence,
}

/// What the gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Run it.
    Allow,
    /// Ask a person first.
    Confirm(Doubt),
    /// Do not run it: the source may never cause this risk.
    Deny,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Confirm(Doubt::Risk) => "confirm: the action is risky",
            Self::Confirm(Doubt::Trust) => "confirm: the source is not trusted with it",
            Self::Confirm(Doubt::Confidence) => "confirm: the model was not sure",
            Self::Deny => "deny: the source may not cause this risk",
        })
    }
}

impl Gate {
    /// Decides. Trust is weighed before risk, and risk before confidence, so that the strictest reason is the one told.
    #[must_use]
    pub fn decide(self, thresholds: Thresholds) -> Verdict {
        if self.lowest < self.trust {
            let lowered = Self { trust: self.lowest, ..self }.decide(thresholds);
            let own = Self { lowest: self.trust, ..self }.decide(thresholds);
            return match (own, lowered) {
                (Verdict::Allow | Verdict::Confirm(_), Verdict::Deny) if self.trust >= Trust::Person => {
                    Verdict::Confirm(Doubt::Trust)
                }
                (_, lowered) => lowered,
            };
        }
        match (self.trust, self.risk) {
            (Trust::Untrusted, Risk::Medium | Risk::High) | (Trust::Device, Risk::High) => Verdict::Deny,
            (Trust::Untrusted, Risk::Low) | (Trust::Device, Risk::Medium) => Verdict::Confirm(Doubt::Trust),
            (Trust::Person | Trust::Owner, Risk::High) => Verdict::Confirm(Doubt::Risk),
            (Trust::Untrusted | Trust::Device, Risk::None)
            | (Trust::Device, Risk::Low)
            | (Trust::Person | Trust::Owner, Risk::None | Risk::Low | Risk::Medium) => {
                if self.confidence.least() < thresholds.of(self.risk) {
                    Verdict::Confirm(Doubt::Confidence)
                } else {
                    Verdict::Allow
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRUSTS: [Trust; 4] = [Trust::Untrusted, Trust::Device, Trust::Person, Trust::Owner];
    const RISKS: [Risk; 4] = [Risk::None, Risk::Low, Risk::Medium, Risk::High];

    fn strictness(verdict: Verdict) -> u8 {
        match verdict {
            Verdict::Allow => 0,
            Verdict::Confirm(_) => 1,
            Verdict::Deny => 2,
        }
    }

    #[test]
    fn the_whole_table_for_a_sure_model() {
        let row = |trust, lowest| {
            RISKS.map(|risk| {
                let gate = Gate { risk, trust, lowest, confidence: Confidence::CERTAIN };
                strictness(gate.decide(Thresholds::default()))
            })
        };
        let table = |lowest| TRUSTS.map(|trust| row(trust, lowest));
        assert_eq!(table(Trust::Owner), [[0, 1, 2, 2], [0, 0, 1, 2], [0, 0, 0, 1], [0, 0, 0, 1]]);
        assert_eq!(table(Trust::Device), [[0, 1, 2, 2], [0, 0, 1, 2], [0, 0, 1, 1], [0, 0, 1, 1]]);
        assert_eq!(table(Trust::Untrusted), [[0, 1, 2, 2], [0, 1, 2, 2], [0, 1, 1, 1], [0, 1, 1, 1]]);
    }

    proptest! {
        #[test]
        fn more_risk_less_trust_or_less_confidence_never_loosens(
            trust in 0usize..4, risk in 0usize..4, lowest in 0usize..4, sure in 0.0f32..1.0, surer in 0.0f32..1.0,
        ) {
            let with = |lowest: usize, trust: usize, risk: usize, sure: f32| {
                let (confidence, lowest) = (Confidence { kept: sure, winner: 1.0 }, TRUSTS[lowest]);
                strictness(Gate { risk: RISKS[risk], trust: TRUSTS[trust], lowest, confidence }.decide(Thresholds::default()))
            };
            let decide = |trust: usize, risk: usize, sure: f32| with(lowest, trust, risk, sure);
            let here = decide(trust, risk, sure);
            prop_assert!(trust == 0 || decide(trust - 1, risk, sure) >= here);
            prop_assert!(lowest == 0 || with(lowest - 1, trust, risk, sure) >= here);
            prop_assert!(risk == 3 || decide(trust, risk + 1, sure.max(0.3)) >= decide(trust, risk, sure.max(0.3)));
            prop_assert!(decide(trust, risk, sure.min(surer)) >= decide(trust, risk, sure.max(surer)));
        }
    }
}
