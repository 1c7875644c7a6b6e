//! Where a hypothesis stands among the [names](Names) that are expected: within one, or behind one that it has.

use std::sync::Arc;

use crate::names::{Ending, Names, NodeId, ROOTS};
use crate::vocabulary::Vocabulary;

/// What one hypothesis has of the names of one source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    /// The node within a name, and how many tokens the hypothesis had before it.
    inside: Option<(NodeId, usize)>,
    /// A name that ends within the one that goes on.
    passed: Option<Named>,
    /// Names that it has.
    named: Vec<Named>,
}

/// A name in a hypothesis.
#[derive(Clone, Copy, Debug)]
struct Named {
    name: u32,
    worth: f32,
    from: usize,
    to: usize,
}

impl Track {
    /// What the names are worth that the hypothesis has.
    pub(crate) fn credit(&self) -> f32 {
        self.named.iter().map(|named| named.worth).sum()
    }

    /// What the name that it is within may be worth.
    pub(crate) fn prospect(&self, names: &Names) -> f32 {
        self.inside.map_or(0.0, |(node, _)| names.prospect(node))
    }

    /// Where it is within a name.
    pub(super) fn node(&self) -> Option<NodeId> {
        self.inside.map(|(node, _)| node)
    }

    /// Whether it is within a name.
    pub(crate) fn is_inside(&self) -> bool {
        self.inside.is_some()
    }

    /// Whether it has one.
    pub(crate) fn has_names(&self) -> bool {
        !self.named.is_empty()
    }

    /// Tokens that begin a name behind `tokens`, or go on with it, and the most that the name may be worth.
    pub(super) fn each_continuation(
        &self,
        names: &Names,
        vocabulary: &Vocabulary,
        tokens: &[u32],
        mut each: impl FnMut(u32, f32),
    ) {
        let mut behind = |node: NodeId| {
            for (child, token) in names.children(node) {
                each(token, names.prospect(child));
            }
        };
        if let Some((node, _)) = self.inside {
            behind(node);
        }
        let may_begin = |(node, _)| names.ending(node).is_some();
        if self.inside.is_none_or(may_begin) {
            behind(ROOTS[0]);
            if vocabulary.edges_of(tokens).1 {
                behind(ROOTS[1]);
            }
        }
    }

    /// The hypothesis of `tokens` goes on with `token`, or ends with it.
    pub(super) fn followed_by(
        &self,
        names: &Names,
        vocabulary: &Vocabulary,
        tokens: &[u32],
        token: u32,
    ) -> Self {
        let mut next = self.clone();
        if vocabulary.ends().contains(&token) {
            next.pass(names, tokens.len());
            next.leave();
        } else {
            next.push(names, vocabulary, tokens, token);
        }
        next
    }

    fn push(&mut self, names: &Names, vocabulary: &Vocabulary, tokens: &[u32], token: u32) {
        if let Some((node, from)) = self.inside {
            if vocabulary.edges_of(&[token]).0 {
                self.pass(names, tokens.len());
            }
            if let Some(child) = names.child(node, token) {
                self.inside = Some((child, from));
                return;
            }
            self.leave();
        }
        let [spaced, plain] = ROOTS;
        let begun = names.child(spaced, token).or_else(|| {
            let begun = names.child(plain, token);
            begun.filter(|_| vocabulary.edges_of(tokens).1)
        });
        self.inside = begun.map(|node| (node, tokens.len()));
    }

    /// A word ends behind so many tokens, and with it perhaps a name.
    fn pass(&mut self, names: &Names, to: usize) {
        let Some((node, from)) = self.inside else {
            return;
        };
        if let Some(Ending { name, worth }) = names.ending(node) {
            self.passed = Some(Named {
                name,
                worth,
                from,
                to,
            });
        }
    }

    /// The name is over: it counts, or one that ended within it. Once: a text that repeats a name is no better.
    fn leave(&mut self) {
        self.inside = None;
        self.named.extend(self.passed.take().map(|passed| {
            let is_again = self.named.iter().any(|named| named.name == passed.name);
            let worth = if is_again { 0.0 } else { passed.worth };
            Named { worth, ..passed }
        }));
    }

    /// Writes the names as they were given.
    pub(super) fn write(
        &self,
        names: &Names,
        vocabulary: &Vocabulary,
        tokens: Vec<u32>,
    ) -> Vec<u32> {
        if self.named.is_empty() {
            return tokens;
        }
        let mut written = Vec::with_capacity(tokens.len());
        let mut from = 0;
        for named in &self.named {
            written.extend_from_slice(&tokens[from..named.from]);
            let is_spaced = vocabulary
                .decode(&tokens[named.from..=named.from])
                .starts_with(' ');
            written.extend_from_slice(names.written(named.name, is_spaced));
            from = named.to;
        }
        written.extend_from_slice(&tokens[from..]);
        written
    }
}

/// Names of all sources that an utterance expects.
pub(crate) type Expected = Option<Arc<Names>>;
