//! Names that are expected in transcripts, as a prefix tree over their tokens.
//!
//! Each name stands in the tree in the forms that a text may have it in: as it is given, with a small and with a capital
//! letter, behind a space and without one. A node knows what the best name below it is worth, so that a search can tell
//! early whether following it may still pay ([`crate::decode::naming`]).
//!
//! ```text
//! "Living Room", "Livia"     ␣Liv ── ing ── ␣Room ●
//!                               └── ia ●
//! ```

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use crate::vocabulary::Vocabulary;

/// What a name is worth, as the logarithm of a factor of its probability (2.7, and 33 for each token behind the first).
/// A name of one token is a common word, which the model writes by itself.
const WORTH_OF_NAME: f32 = 1.0;
const WORTH_OF_TOKEN: f32 = 3.5;
/// Most tokens of a name that count.
const MOST_TOKENS: usize = 12;
/// Most letters and digits of a name, and most tokens of a form of it.
const LONGEST_NAME: usize = 256;
const LONGEST: usize = 64;

/// Names of one source, in the tokens of one vocabulary. Immutable, and shared by the utterances that expect them.
#[derive(Debug, Default, PartialEq)]
pub struct Names {
    /// Children of one node are neighbours, in the order of their tokens. The first is the root of forms behind a space,
    /// the second that of the others.
    nodes: Vec<Node>,
    written: Written,
}

/// The tokens of each name as it is given, behind a space and without one: all in one piece of memory, since thousands of
/// small ones would keep what was freed between them from the system.
#[derive(Clone, Debug, Default, PartialEq)]
struct Written {
    tokens: Vec<u32>,
    /// Where each ends in `tokens`; two for each name.
    ends: Vec<u32>,
}

impl Written {
    /// How many names there are.
    fn len(&self) -> usize {
        self.ends.len() / 2
    }

    fn push(&mut self, [behind_a_space, alone]: [Vec<u32>; 2]) {
        for tokens in [behind_a_space, alone] {
            self.tokens.extend(tokens);
            self.ends
                .push(u32::try_from(self.tokens.len()).unwrap_or(u32::MAX));
        }
    }

    fn get(&self, name: u32, behind_a_space: bool) -> &[u32] {
        let index = 2 * name as usize + usize::from(!behind_a_space);
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.tokens[start as usize..self.ends[index] as usize]
    }

    fn shrink_to_fit(&mut self) {
        self.tokens.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

#[derive(Debug, Default, PartialEq)]
struct Node {
    token: u32,
    children: Range<u32>,
    name: Option<u32>,
    /// Of this name.
    worth: f32,
    /// The most that this name or one below is worth.
    prospect: f32,
}

/// A place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

/// Roots of the forms behind a space and of the others.
pub(crate) const ROOTS: [NodeId; 2] = [NodeId(0), NodeId(1)];

/// A name that ends at a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ending {
    pub(crate) name: u32,
    pub(crate) worth: f32,
}

impl Names {
    /// The tree of `names`. Left out are those with less than two letters or digits, those of more than 256, and those
    /// that come again. Takes some 100 µs for each name.
    pub fn new<'a>(vocabulary: &Vocabulary, names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::default().with(vocabulary, names)
    }

    /// The tree of these names and more. Only those that are added take time.
    #[must_use]
    pub fn with<'a>(
        &self,
        vocabulary: &Vocabulary,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut written = self.written.clone();
        let mut forms = ROOTS.map(|root| self.forms_behind(root));
        let mut seen = HashSet::new();
        for name in names.into_iter().map(str::trim) {
            if !is_sayable(name) || !seen.insert(name) {
                continue;
            }
            let number = u32::try_from(written.len()).unwrap_or(u32::MAX);
            for form in spellings(name) {
                for (forms, space) in forms.iter_mut().zip([" ", ""]) {
                    let tokens = vocabulary.encode(&format!("{space}{form}"));
                    if (1..=LONGEST).contains(&tokens.len()) {
                        forms.entry(tokens).or_insert(number);
                    }
                }
            }
            let as_given = |space| vocabulary.encode(&format!("{space}{name}"));
            written.push([" ", ""].map(as_given));
        }
        // Names do not come again soon.
        vocabulary.forget();
        if written.len() == 0 {
            return Self::default();
        }
        let mut nodes = vec![Node::default(), Node::default()];
        for (root, forms) in forms.iter().enumerate() {
            let forms: Vec<(&[u32], u32)> = forms
                .iter()
                .map(|(tokens, name)| (&tokens[..], *name))
                .collect();
            plant(&mut nodes, root, 0, &forms);
        }
        nodes.shrink_to_fit();
        written.shrink_to_fit();
        Self { nodes, written }
    }

    /// The forms of a root, and whose they are.
    fn forms_behind(&self, root: NodeId) -> BTreeMap<Vec<u32>, u32> {
        let mut forms = BTreeMap::new();
        let mut open = if self.is_empty() {
            Vec::new()
        } else {
            vec![(root, Vec::new())]
        };
        while let Some((node, tokens)) = open.pop() {
            for (child, token) in self.children(node) {
                let tokens = [&tokens[..], &[token]].concat();
                if let Some(ending) = self.ending(child) {
                    forms.insert(tokens.clone(), ending.name);
                }
                open.push((child, tokens));
            }
        }
        forms
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.written.len()
    }

    /// Memory that the tree takes.
    pub fn bytes(&self) -> usize {
        let Written { tokens, ends } = &self.written;
        size_of_val(&self.nodes[..]) + size_of_val(&tokens[..]) + size_of_val(&ends[..])
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.written.len() == 0
    }

    /// The nodes behind `node`, with their tokens.
    pub(crate) fn children(&self, node: NodeId) -> impl Iterator<Item = (NodeId, u32)> {
        let children = self.node(node).children.clone();
        children.map(|child| (NodeId(child), self.nodes[child as usize].token))
    }

    /// Where `token` leads from `node`.
    pub(crate) fn child(&self, node: NodeId, token: u32) -> Option<NodeId> {
        let children = self.node(node).children.clone();
        let first = children.start;
        let children = self
            .nodes
            .get(children.start as usize..children.end as usize)?;
        let index = children
            .binary_search_by_key(&token, |child| child.token)
            .ok()?;
        Some(NodeId(first + u32::try_from(index).ok()?))
    }

    /// The name that ends here.
    pub(crate) fn ending(&self, node: NodeId) -> Option<Ending> {
        let node = self.node(node);
        node.name.map(|name| Ending {
            name,
            worth: node.worth,
        })
    }

    /// The most that a name here or behind is worth.
    pub(crate) fn prospect(&self, node: NodeId) -> f32 {
        self.node(node).prospect
    }

    /// The tokens of a name as it was given.
    pub(crate) fn written(&self, name: u32, behind_a_space: bool) -> &[u32] {
        self.written.get(name, behind_a_space)
    }

    fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node.0 as usize]
    }
}

/// Gives `parent` the nodes of `forms` (in order, equal up to `depth`) behind that depth.
fn plant(nodes: &mut Vec<Node>, parent: usize, depth: usize, forms: &[(&[u32], u32)]) {
    let (own, deeper) = match forms {
        [(tokens, name), deeper @ ..] if tokens.len() == depth => (Some(*name), deeper),
        deeper => (None, deeper),
    };
    let groups: Vec<&[(&[u32], u32)]> = deeper
        .chunk_by(|(a, _), (b, _)| a[depth] == b[depth])
        .collect();
    let first = nodes.len();
    nodes.extend(groups.iter().map(|group| Node {
        token: group[0].0[depth],
        ..Node::default()
    }));
    let behind = nodes.len();
    let mut prospect = 0.0_f32;
    for (child, group) in (first..).zip(groups) {
        plant(nodes, child, depth + 1, group);
        prospect = prospect.max(nodes[child].prospect);
    }
    let worth = worth(depth);
    let index = |node: usize| u32::try_from(node).unwrap_or(u32::MAX);
    let node = &mut nodes[parent];
    node.children = index(first)..index(behind);
    node.name = own;
    node.worth = worth;
    node.prospect = if own.is_some() {
        prospect.max(worth)
    } else {
        prospect
    };
}

/// Whether a name has as many letters or digits as a name that people say.
fn is_sayable(name: &str) -> bool {
    let letters = name.chars().filter(|letter| letter.is_alphanumeric());
    (2..=LONGEST_NAME).contains(&letters.take(LONGEST_NAME + 1).count())
}

/// What a name of so many tokens is worth.
fn worth(tokens: usize) -> f32 {
    let further = tokens.min(MOST_TOKENS).saturating_sub(1);
    WORTH_OF_NAME + WORTH_OF_TOKEN * further as f32
}

/// The ways in which a text may have a name: as it is given, in small letters, and with capitals in front of the first
/// word or of all.
fn spellings(name: &str) -> Vec<String> {
    let title = name.split(' ').map(capital).collect::<Vec<_>>().join(" ");
    let mut forms = vec![name.to_owned(), name.to_lowercase(), capital(name), title];
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// With a capital letter in front.
fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next();
    first.map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::vocabulary_of_bytes;

    fn tree(names: &[&str]) -> (Vocabulary, Names) {
        let vocabulary = vocabulary_of_bytes();
        let names = Names::new(&vocabulary, names.iter().copied());
        (vocabulary, names)
    }

    fn follow(vocabulary: &Vocabulary, names: &Names, text: &str) -> Option<NodeId> {
        let root = ROOTS[usize::from(!text.starts_with(' '))];
        let tokens = vocabulary.encode(text);
        let next = |node, token: &u32| names.child(node, *token);
        tokens.iter().try_fold(root, next)
    }

    #[test]
    fn names_are_found_in_the_forms_that_texts_have() {
        let (vocabulary, names) = tree(&["Living room", "WLED", "Küche"]);
        assert_eq!(names.len(), 3);
        let forms = [
            " Living room",
            " living room",
            " Living Room",
            "Living room",
            " WLED",
            " wled",
            " küche",
            " Küche",
        ];
        for form in forms {
            let node = follow(&vocabulary, &names, form).unwrap();
            let ending = names.ending(node).unwrap_or_else(|| panic!("{form}"));
            let tokens = names.written(ending.name, form.starts_with(' '));
            let written = vocabulary.decode(tokens);
            assert_eq!(written.to_lowercase(), form.to_lowercase());
            assert!(["Living room", "WLED", "Küche"].contains(&written.trim()));
        }
        assert_eq!(follow(&vocabulary, &names, " Wled2"), None);
        let within = follow(&vocabulary, &names, " Livi").unwrap();
        assert_eq!(names.ending(within), None);
    }

    #[test]
    fn names_that_are_added_stand_beside_the_others() {
        let (vocabulary, some) = tree(&["Zoe", "Zoe Lamp"]);
        let (_, all) = tree(&["Zoe", "Zoe Lamp", "Zora", "Küche"]);
        assert_eq!(some.with(&vocabulary, ["Zora", "Küche"]), all);
        assert_eq!(some.with(&vocabulary, []), some);
        let again = some.with(&vocabulary, ["zoe"]);
        let node = follow(&vocabulary, &again, " Zoe").unwrap();
        assert_eq!(again.ending(node).unwrap().name, 0);
    }

    #[test]
    fn a_node_knows_the_best_name_below() {
        let (vocabulary, names) = tree(&["Zoe", "Zoe Lamp", "Zo"]);
        let prospect = |text| names.prospect(follow(&vocabulary, &names, text).unwrap());
        let long = names.ending(follow(&vocabulary, &names, " Zoe Lamp").unwrap());
        let is_long = |found: f32| (found - long.unwrap().worth).abs() < 1e-6;
        assert!(is_long(prospect(" Z")) && is_long(prospect(" Zoe")));
        let short = names.ending(follow(&vocabulary, &names, " Zo").unwrap());
        assert!(short.unwrap().worth < long.unwrap().worth);
    }

    #[test]
    fn what_is_no_name_is_left_out() {
        let long = "x".repeat(5_000);
        let (_, names) = tree(&["", " ", "...", "x", "\u{0}\u{7}", "Zoe", "Zoe ", &long]);
        assert_eq!(names.len(), 1);
        assert_eq!(tree(&[]).1, Names::default());
    }

    #[test]
    fn ten_thousand_names_take_a_few_megabytes() {
        let all: Vec<String> = (0..10_000)
            .map(|i| format!("Room {i} Lamp {}", i * 7_919))
            .collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let (_, names) = tree(&all);
        assert_eq!(names.len(), 10_000);
        // Each byte is a token here; a real vocabulary has a quarter of the nodes.
        assert!(names.bytes() < 4 * (8 << 20), "{}", names.bytes());
    }
}
