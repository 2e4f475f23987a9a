//! The norm of each head, and its turn by the place of its token, in one operator instead of two or four: graphs take the
//! heads of a row apart for the norm and put them together again.

use super::draft::{Draft, operator};
use super::place::{Fused, kind_of, may_be_mapped};
use super::residual::{Norm, norm};
use super::world::World;
use crate::graph::Node;
use crate::operators::{DOMAIN, Own};
use std::collections::HashSet;

/// What goes and what comes where `node` is the norm of heads that nothing else reads.
pub(super) fn find(draft: &Draft, worlds: &[World<'_>], node: &Node) -> Option<Fused> {
    let own = norm(draft, node)?;
    let apart = draft.maker(own.input).filter(|node| node.is("Reshape") && draft.only_reader(own.input).is_some())?;
    let (together, _) = draft.only_reader(own.output).filter(|(reader, _)| reader.is("Reshape"))?;
    let (row, put) = (apart.input(0)?, together.output(0)?);
    let heads_of_rows = |world: &World<'_>| {
        let [1, tokens, width] = *world.shape(row)? else { return None };
        let [1, of, heads, head] = *world.shape(own.input)? else { return None };
        let same = of == tokens && head == own.width && heads * head == width;
        (same && world.shape(put) == world.shape(row)).then_some(())
    };
    worlds.iter().try_for_each(heads_of_rows)?;
    let mut gone: HashSet<String> = [own.input, own.output, put].map(str::to_owned).into();
    let mut inputs = vec![row, own.weights];
    let turn =
        draft.only_reader(put).and_then(|(reader, place)| turn(draft, worlds, reader, &own).filter(|_| place == 0));
    let out = match turn {
        Some(Turn { places, cosines, sines, output }) => {
            inputs.extend([places, cosines, sines]);
            gone.insert(output.to_owned());
            output
        }
        None => put,
    };
    let mut node = operator(DOMAIN, Own::HeadNorm.name(own.numbers), &draft.fresh_node(out), &inputs, &[out]);
    node.set_float("epsilon", own.epsilon);
    Some(Fused { gone, node })
}

/// How heads are turned.
struct Turn<'a> {
    places: &'a str,
    cosines: &'a str,
    sines: &'a str,
    output: &'a str,
}

/// Reads a `RotaryEmbedding` that turns the first half of each head with the second, each token by its own place.
fn turn<'a>(draft: &'a Draft, worlds: &[World<'_>], node: &'a Node, own: &Norm<'_>) -> Option<Turn<'a>> {
    const OFF: [&str; 3] = ["interleaved", "is_packed_batching", "rotary_embedding_dim"];
    let width = worlds.first()?.shape(node.input(0)?)?.last()?;
    // How many of them a row has, if it is told.
    let heads = [0, i64::try_from(width.checked_div(own.width)?).ok()?];
    let silent = node.attributes.iter().all(|attribute| {
        let name = attribute.name.as_str();
        name == "num_heads" && heads.contains(&attribute.integer)
            || OFF.contains(&name) && node.integer(name) == Some(0)
    });
    if !node.is_contrib("RotaryEmbedding") || !silent {
        return None;
    }
    let (row, places, cosines, sines) = (node.input(0)?, node.input(1)?, node.input(2)?, node.input(3)?);
    let table = |name: &str| {
        let dims = draft.weights(name)?.dims;
        let pairs = dims.last().is_some_and(|pairs| pairs * 2 == own.width) && dims.len() == 2;
        let fits = pairs && kind_of(draft, name)? == own.numbers && may_be_mapped(draft, name, own.numbers);
        fits.then_some(dims)
    };
    let same = table(cosines)? == table(sines)?;
    let a_place_each = |world: &World<'_>| world.shape(places) == world.shape(row).and_then(|row| row.get(..2));
    let fits = same && worlds.iter().all(a_place_each);
    fits.then_some(Turn { places, cosines, sines, output: node.output(0)? })
}
