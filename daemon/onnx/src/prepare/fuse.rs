//! Attention that is written out becomes `GroupQueryAttention`: layers that own a cache grow it in the operator, layers
//! that share one read what its owner gives, and give nothing.

use super::attention::{Attention, Kept, Rows, Sights, looks, read};
use super::counts::Counts;
use super::draft::{CONTRIB, Draft, operator};
use super::mask::Sight;
use super::report::{Outcome, Pass};
use crate::graph::Node;
use crate::graph::proto::Constant;
use std::collections::BTreeMap;

/// Keys and values by what they are grown from.
type Pair = [String; 4];

/// Fuses every attention that is recognised.
pub(super) fn fuse(draft: &mut Draft) -> [Outcome; 2] {
    let mut own = Outcome::of(Pass::Fuse);
    let mut shared = Outcome::of(Pass::Share);
    let softmaxes: Vec<Node> = draft.nodes().filter(|node| node.is("Softmax")).cloned().collect();
    let (looks, mut sights) = (looks(draft), Sights::new());
    let found = softmaxes.iter().map(|node| (node, read(draft, &looks, &mut sights, node)));
    let found: Vec<(&Node, Result<Attention, String>)> = found.collect();
    drop(looks);
    if found.is_empty() {
        own.note = Some("no attention is written out".to_owned());
    }
    let mut owners: BTreeMap<Pair, [String; 2]> = BTreeMap::new();
    for (softmax, attention) in found {
        let put = attention.and_then(|attention| {
            // A step that leads nowhere is taken back whole.
            let (mut next, mut known) = (draft.clone(), owners.clone());
            put(&mut next, &attention, &mut known).map(|is_shared| (is_shared, next, known))
        });
        match put {
            Ok((is_shared, next, known)) => {
                (*draft, owners) = (next, known);
                if is_shared { shared.took += 1 } else { own.took += 1 }
            }
            Err(reason) => own.left(&softmax.name, &reason),
        }
    }
    [own, shared]
}

/// Puts one operator in the place of one attention. Returns whether it shares another's keys and values.
fn put(draft: &mut Draft, attention: &Attention, owners: &mut BTreeMap<Pair, [String; 2]>) -> Result<bool, String> {
    let counts = Counts::of(draft)?;
    let (present, own) = match (&attention.keys, &attention.values) {
        (Kept::Ready(keys), Kept::Ready(values)) => ([keys.clone(), values.clone()], None),
        (Kept::Grown { past: past_keys, new: keys }, Kept::Grown { past: past_values, new: values }) => {
            let pair = [past_keys.clone(), keys.value.clone(), past_values.clone(), values.value.clone()];
            if let Some(present) = owners.get(&pair) {
                (present.clone(), None)
            } else if !attention.whole {
                return Err("it would have to grow a cache for tokens that do not ask".to_owned());
            } else {
                let present = [grown(draft, attention, &attention.keys)?, grown(draft, attention, &attention.values)?];
                owners.insert(pair, present.clone());
                (present, Some([(past_keys, keys), (past_values, values)]))
            }
        }
        (Kept::Ready(_), Kept::Grown { .. }) | (Kept::Grown { .. }, Kept::Ready(_)) => {
            return Err("its keys come from elsewhere than its values".to_owned());
        }
    };
    let element = |kept: &Kept| match kept {
        Kept::Ready(value) => draft.element(value),
        Kept::Grown { past, .. } => draft.element(past),
    };
    let element = element(&attention.keys).filter(|found| Some(*found) == element(&attention.values));
    let element = element.ok_or("the precision of its caches cannot be told")?;
    let is_shared = own.is_none();
    let query = together(draft, &attention.query, attention.heads * attention.width);
    let mut inputs = vec![query];
    let mut outputs = vec![attention.out.clone()];
    match own {
        Some(pairs) => {
            inputs.extend(pairs.map(|(_, new)| together(draft, new, attention.kv_heads * attention.width)));
            inputs.extend(pairs.map(|(past, _)| past.clone()));
            for present in &present {
                draft.remove_maker(present);
            }
            outputs.extend(present);
        }
        None => {
            let none = no_rows(draft, attention.kv_heads * attention.width, element);
            inputs.extend([none.clone(), none]);
            inputs.extend(present);
        }
    }
    inputs.extend([counts.last, counts.all]);
    draft.remove_maker(&attention.out);
    let mut node = Node {
        name: draft.fresh_node(&attention.out),
        operator: "GroupQueryAttention".to_owned(),
        domain: CONTRIB.to_owned(),
        inputs,
        outputs,
        attributes: Vec::new(),
    };
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    node.set_integer("num_heads", count(attention.heads));
    node.set_integer("kv_num_heads", count(attention.kv_heads));
    #[expect(clippy::cast_possible_truncation, reason = "the operator takes single precision")]
    node.set_float("scale", attention.scale as f32);
    node.set_integer("do_rotary", 0);
    if let Sight::Window(window) = attention.sight {
        node.set_integer("local_window_size", count(window));
    }
    draft.add(node);
    draft.remove_unread().map_err(|error| error.to_string())?;
    Ok(is_shared)
}

/// `[1,S,H·D]`, as the operator takes them.
fn together(draft: &mut Draft, rows: &Rows, width: usize) -> String {
    if !rows.apart {
        return rows.value.clone();
    }
    let out = format!("{}/together", rows.value);
    if draft.known(&out).is_none() && !draft.makes(&out) {
        let target = draft.integers(&[0, 0, i64::try_from(width).unwrap_or(i64::MAX)]);
        let reshape = operator("", "Reshape", &out, &[&rows.value, &target], &[&out]);
        draft.add(reshape);
    }
    out
}

/// Keys or values of no token: those that a layer shares stand in its past.
fn no_rows(draft: &mut Draft, width: usize, element: i32) -> String {
    let dims = vec![1, 0, i64::try_from(width).unwrap_or(i64::MAX)];
    let name = format!("/hob/none/{element}/{width}");
    draft.add_constant(Constant { name, dims, element, ..Constant::default() })
}

/// The value in which a cache is grown, looked at as the attention was.
fn grown(draft: &Draft, attention: &Attention, kept: &Kept) -> Result<String, String> {
    let Kept::Grown { past, .. } = kept else { return Err("its cache is not grown".to_owned()) };
    let mut grown =
        draft.readers(past).filter(|(node, place)| *place == 0 && node.is("Concat") && node.inputs.len() == 2);
    let (Some((concat, _)), None) = (grown.next(), grown.next()) else {
        return Err("its cache is not grown by one operator".to_owned());
    };
    let value = concat.output(0).unwrap_or_default();
    attention.grows(draft, kept, value).ok_or("its cache is grown with something else")?;
    Ok(value.to_owned())
}
