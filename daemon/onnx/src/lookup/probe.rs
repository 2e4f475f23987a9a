//! Whether ONNX Runtime gives the same, on this machine and with this library: the graph is run with the first few rows
//! of its tables.

use super::{Lookup, OpenLookupError, Rounding, unlike};
use crate::graph::Graph;
use crate::session::Session;
use crate::settings::SessionSettings;
use crate::tensor::{Tensor, TensorError};
use crate::{OpenSessionError, RunError, Runtime};
use std::collections::BTreeSet;
use std::num::NonZero;

/// Rows that are compared: enough that a rounding more or less shows in some number of every real table.
const ROWS: usize = 32;

/// What may be rounded. Both are tried only where something is of half precision; else they are the same.
const ROUNDINGS: [Rounding; 4] = [
    Rounding { rows: true, products: true },
    Rounding { rows: true, products: false },
    Rounding { rows: false, products: false },
    Rounding { rows: false, products: true },
];

/// Settles what is rounded, output by output, by what ONNX Runtime gives.
pub(super) fn agreed(runtime: &Runtime, graph: &Graph, mut lookup: Lookup) -> Result<Lookup, OpenLookupError> {
    let rows = lookup.looked_up.iter().map(|output| output.table.rows()).min().unwrap_or(0).min(ROWS);
    let first = i64::try_from(rows).unwrap_or(0);
    // Ids that a rule names are compared too, where they lead to a row that is there.
    let named: BTreeSet<i64> = lookup.looked_up.iter().flat_map(|output| output.rule.constants()).collect();
    let leads = |id: &i64| lookup.looked_up.iter().all(|output| (0..first).contains(&output.rule.of(*id)));
    let ids: Vec<i64> = (0..first).chain(named).filter(leads).collect();
    let theirs = run(runtime, graph, &lookup, &ids).map_err(|error| unlike(error.to_string()))?;
    if theirs.len() != lookup.looked_up.len() {
        return Err(unlike("it has other outputs when it runs"));
    }
    for (output, theirs) in lookup.looked_up.iter_mut().zip(&theirs) {
        let same = ROUNDINGS.into_iter().find(|rounding| {
            output.rounding = *rounding;
            output.run(&ids).is_ok_and(|ours| bits(&ours).ok() == bits(theirs).ok())
        });
        output.rounding = same.ok_or_else(|| unlike("ONNX Runtime rounds its rows in a way of its own"))?;
    }
    Ok(lookup)
}

/// All that a graph of tables needs besides them: a few numbers of its rules.
const MOST_BYTES_BESIDES: u64 = 64 << 10;

/// Why the comparison could not be made.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error("it has large constants that are no tables")]
    Constants,
    #[error(transparent)]
    Weights(#[from] crate::WeightsError),
    #[error(transparent)]
    Open(#[from] OpenSessionError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

/// What the graph itself gives, of the first rows.
fn run(runtime: &Runtime, graph: &Graph, lookup: &Lookup, ids: &[i64]) -> Result<Vec<Tensor>, ProbeError> {
    let tables: Vec<String> = lookup.looked_up.iter().flat_map(|output| output.table.names().to_vec()).collect();
    if graph.bytes_besides(&tables) > MOST_BYTES_BESIDES {
        return Err(ProbeError::Constants);
    }
    let small = graph.with_rows(&tables, ROWS)?;
    let settings = SessionSettings { threads: NonZero::new(1), ..SessionSettings::default() };
    let mut session = Session::open_made(runtime, graph.path(), &small, &settings)?;
    let fed = Tensor::i64(&[1, ids.len()], ids.to_vec())?;
    let stop = session.stop_handle()?;
    let name = lookup.signature.inputs.first().map_or("", |port| port.name.as_str());
    Ok(session.run(&[(name, &fed)], &stop)?)
}

/// All numbers of a tensor, as bits: a zero is told from a negative one.
fn bits(tensor: &Tensor) -> Result<Vec<u32>, TensorError> {
    let rows = tensor.shape().iter().rev().skip(1).product();
    Ok(tensor.last_rows(rows)?.into_iter().map(f32::to_bits).collect())
}
