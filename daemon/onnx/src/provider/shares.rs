//! Who took which operators of a graph, as ONNX Runtime recorded it while it opened it.

use super::Provider;
use ort::AsPointer;
use ort::sys::OrtStatusPtr;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::fmt;
use std::ptr;

/// The session entry that makes ONNX Runtime record it.
pub(crate) const RECORD: &str = "session.record_ep_graph_assignment_info";

/// What one provider took of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Share {
    /// By hob's name; by ONNX Runtime's for one that hob does not know.
    pub provider: String,
    /// Its operators, and how many of each.
    pub operators: BTreeMap<String, usize>,
}

impl Share {
    /// How many operators that is.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.operators.values().sum()
    }

    /// Sums up what was taken, by provider in order of their first taking.
    pub(crate) fn gather(taken: impl IntoIterator<Item = (String, String)>) -> Vec<Self> {
        let mut shares: Vec<Self> = Vec::new();
        for (provider, operator) in taken {
            let place = shares.iter().position(|share| share.provider == provider).unwrap_or_else(|| {
                shares.push(Self { provider, operators: BTreeMap::new() });
                shares.len() - 1
            });
            if let Some(share) = shares.get_mut(place) {
                *share.operators.entry(operator).or_default() += 1;
            }
        }
        shares
    }

    /// How many operators a provider took of all.
    pub(crate) fn of(shares: &[Self], provider: Provider) -> usize {
        shares.iter().filter(|share| share.provider == provider.name()).map(Self::nodes).sum()
    }
}

/// `openvino 3 (Add, MatMul ×2)`
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |(operator, count): (&String, &usize)| match count {
            1 => operator.clone(),
            count => format!("{operator} ×{count}"),
        };
        let operators: Vec<String> = self.operators.iter().map(one).collect();
        write!(f, "{} {} ({})", self.provider, self.nodes(), operators.join(", "))
    }
}

/// Reads what was recorded. The session must have been opened with [`RECORD`] set.
#[expect(unsafe_code, reason = "ort has no safe call for it")]
pub(crate) fn shares(session: &ort::session::Session) -> Result<Vec<Share>, ort::Error> {
    let api = ort::api();
    let mut taken = Vec::new();
    // SAFETY: the pointers are the session's own, which outlives this borrow, and every call fills what it is given.
    unsafe {
        for subgraph in list(|found, count| (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), found, count))? {
            let provider = text(|found| (api.EpAssignedSubgraph_GetEpName)(*subgraph, found))?;
            let nodes = list(|found, count| (api.EpAssignedSubgraph_GetNodes)(*subgraph, found, count))?;
            for node in nodes {
                let operator = text(|found| (api.EpAssignedNode_GetOperatorType)(*node, found))?;
                taken.push((Provider::known_as(&provider), operator));
            }
        }
    }
    Ok(Share::gather(taken))
}

/// What a call gives as a place and a count.
///
/// # Safety
/// The call must set both to a list that lives as long as `'a`, or give a status.
#[expect(unsafe_code, reason = "ort has no safe call for it")]
unsafe fn list<'a, T>(
    call: impl FnOnce(*mut *const *const T, *mut usize) -> OrtStatusPtr,
) -> Result<&'a [*const T], ort::Error> {
    let (mut found, mut count) = (ptr::null(), 0);
    // SAFETY: the status is the call's own and is read once; the list is as the caller promised.
    unsafe {
        ort::Error::result_from_status(call(&raw mut found, &raw mut count))?;
        Ok(if count == 0 { &[] } else { std::slice::from_raw_parts(found, count) })
    }
}

/// What a call gives as a text.
///
/// # Safety
/// The call must set it to a text that ends in a zero, or give a status.
#[expect(unsafe_code, reason = "ort has no safe call for it")]
unsafe fn text(call: impl FnOnce(*mut *const c_char) -> OrtStatusPtr) -> Result<String, ort::Error> {
    let mut found = ptr::null();
    // SAFETY: the status is the call's own and is read once; the text is as the caller promised.
    unsafe {
        ort::Error::result_from_status(call(&raw mut found))?;
        Ok(CStr::from_ptr(found).to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_summed_up_by_provider_and_operator() {
        let taken = [("openvino", "MatMul"), ("cpu", "Shape"), ("openvino", "Add"), ("openvino", "MatMul")];
        let shares = Share::gather(taken.map(|(provider, operator)| (provider.to_owned(), operator.to_owned())));
        let told: Vec<String> = shares.iter().map(Share::to_string).collect();
        assert_eq!(told, ["openvino 3 (Add, MatMul ×2)", "cpu 1 (Shape)"]);
        assert_eq!((Share::of(&shares, Provider::OpenVino), Share::of(&shares, Provider::Cuda)), (3, 0));
    }
}
