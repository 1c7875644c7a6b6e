//! No files of a crate use each other in a circle. Read from the sources: which names a file takes by
//! `use` and by paths, and through which re-exports they come. What a file takes of those around it
//! (`super`, `crate`) does not count, since a folder's `mod.rs` is there for what its files share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::layering::{code, root, sources};

/// The place of a file in its crate: `["queue", "policy"]`; the crate's root has none.
type Module = Vec<String>;
/// `crate::queue::Queue`, in parts.
type Names = Vec<String>;

struct Crate {
    files: BTreeMap<Module, File>,
}

/// What a file takes from others.
#[derive(Default)]
struct File {
    taken: Vec<Names>,
    /// Names that it gives away, and what they stand for.
    given: BTreeMap<String, Names>,
}

impl Crate {
    fn read(folder: &Path) -> Self {
        let mut texts = BTreeMap::new();
        for path in sources(folder) {
            let within = path.strip_prefix(folder).unwrap().with_extension("");
            let mut module: Module = within
                .iter()
                .map(|part| part.to_str().unwrap().to_owned())
                .collect();
            if module
                .iter()
                .any(|part| part == "tests" || part == "testing")
                || module == ["main"]
            {
                continue;
            }
            if module
                .last()
                .is_some_and(|last| last == "mod" || last == "lib")
            {
                module.pop();
            }
            texts.insert(module, without_comments(&code(&path)));
        }
        let modules: BTreeSet<Module> = texts.keys().cloned().collect();
        let read = |(module, text): (Module, String)| {
            let file = File::read(&module, &text, &modules);
            (module, file)
        };
        Self {
            files: texts.into_iter().map(read).collect(),
        }
    }

    /// The files that a file uses.
    fn used_by(&self, module: &Module) -> BTreeSet<Module> {
        let taken = self.files[module].taken.iter();
        taken
            .filter_map(|names| self.found(module, names, 0))
            .filter(|used| !module.starts_with(used))
            .collect()
    }

    /// The file in which a name of `module` is defined.
    fn found(&self, module: &Module, names: &[String], depth: usize) -> Option<Module> {
        let mut at = module.clone();
        let mut names = names.iter().peekable();
        let is_child = |at: &Module, name: &str| {
            let child = [&at[..], &[name.to_owned()]].concat();
            self.files.contains_key(&child).then_some(child)
        };
        match names.peek()?.as_str() {
            "crate" => at.clear(),
            "super" | "self" => {}
            first => {
                // Another crate, or a name of the file's own.
                let given = self.files[module].given.contains_key(first);
                if !given && is_child(&at, first).is_none() {
                    return None;
                }
            }
        }
        while let Some(name) = names.next() {
            match name.as_str() {
                "crate" | "self" => {}
                "super" => drop(at.pop()),
                name => {
                    if let Some(child) = is_child(&at, name) {
                        at = child;
                        continue;
                    }
                    let Some(given) = self.files.get(&at)?.given.get(name) else {
                        return Some(at);
                    };
                    // A circle of re-exports does not compile.
                    let found = self.found(&at, given, depth + 1).filter(|_| depth < 20)?;
                    if found.last().is_some_and(|last| last == name) && names.peek().is_some() {
                        at = found;
                        continue;
                    }
                    return Some(found);
                }
            }
        }
        Some(at)
    }

    /// The files that are in a circle with this one, itself left out.
    fn circle(&self, module: &Module) -> Vec<Module> {
        let of_it = self.reached_from(module);
        let is_back =
            |other: &&Module| *other != module && self.reached_from(other).contains(module);
        of_it.iter().filter(is_back).cloned().collect()
    }

    fn reached_from(&self, module: &Module) -> BTreeSet<Module> {
        let (mut reached, mut open) = (BTreeSet::new(), vec![module.clone()]);
        while let Some(module) = open.pop() {
            for used in self.used_by(&module) {
                if reached.insert(used.clone()) {
                    open.push(used);
                }
            }
        }
        reached
    }
}

impl File {
    fn read(module: &Module, text: &str, modules: &BTreeSet<Module>) -> Self {
        let mut file = Self::default();
        let mut rest = String::new();
        for statement in text.split_inclusive(';') {
            let Some((before, tree)) = use_of(statement) else {
                rest.push_str(statement);
                continue;
            };
            rest.push_str(before);
            if before
                .trim_end_matches("pub(crate) ")
                .trim_end()
                .ends_with("#[cfg(test)]")
            {
                continue;
            }
            let is_given = last_line(before).starts_with("pub");
            for (names, alias) in unfolded(tree) {
                if is_given {
                    file.given.insert(alias, names);
                } else {
                    file.taken.push(names);
                }
            }
        }
        let is_of_a_name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        for path in rest
            .split(|c| !is_of_a_name(c))
            .filter(|path| path.contains("::"))
        {
            let names: Names = path
                .split("::")
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect();
            let Some(first) = names.first() else { continue };
            let child = [&module[..], std::slice::from_ref(first)].concat();
            if ["crate", "super"].contains(&first.as_str()) || modules.contains(&child) {
                file.taken.push(names);
            }
        }
        file
    }
}

/// What stands before a `use`, and what it names.
fn use_of(statement: &str) -> Option<(&str, &str)> {
    let tree = statement.trim_end_matches(';');
    let at = tree.rmatch_indices("use ").map(|(at, _)| at).find(|at| {
        let before = last_line(tree.get(..*at).unwrap_or_default());
        before.is_empty()
            || (before.starts_with("pub") && !before.contains(' '))
            || (before.starts_with("pub(in") && before.ends_with(')'))
    })?;
    let is_whole = statement.ends_with(';');
    let (before, statement) = tree.split_at(at);
    Some((before, statement.strip_prefix("use ")?)).filter(|_| is_whole)
}

/// What stands before a word in its line.
fn last_line(text: &str) -> &str {
    text.rsplit('\n').next().unwrap_or_default().trim()
}

/// `a::{b, c as d}` → `a::b` as `b` and `a::c` as `d`.
fn unfolded(tree: &str) -> Vec<(Names, String)> {
    let tree = tree.trim();
    if let Some((before, within)) = tree.split_once('{') {
        let before: Names = parts(before);
        let within = within.trim_end().strip_suffix('}').unwrap_or(within);
        return split_outside(within)
            .into_iter()
            .flat_map(|tree| unfolded(&tree))
            .map(|(names, alias)| ([&before[..], &names].concat(), alias))
            .map(|(names, alias)| without_self(names, alias))
            .collect();
    }
    if tree.is_empty() {
        return Vec::new();
    }
    let (path, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
    let names = parts(path);
    let last = names.last().cloned().unwrap_or_default();
    let alias = if alias.is_empty() {
        last
    } else {
        alias.trim().to_owned()
    };
    vec![(names, alias)]
}

/// `a::b::self` is `a::b`.
fn without_self(mut names: Names, mut alias: String) -> (Names, String) {
    if names.len() > 1 && names.last().is_some_and(|last| last == "self") {
        names.pop();
        if alias == "self" {
            alias = names.last().cloned().unwrap_or_default();
        }
    }
    (names, alias)
}

fn parts(path: &str) -> Names {
    let parts = path
        .split("::")
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

/// Splits at the commas that are in no braces.
fn split_outside(text: &str) -> Vec<String> {
    let (mut depth, mut found) = (0_usize, vec![String::new()]);
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(String::new());
                continue;
            }
            _ => {}
        }
        found.last_mut().unwrap().push(c);
    }
    found
}

fn without_comments(text: &str) -> String {
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    text.lines().map(|line| code(line) + "\n").collect()
}

#[test]
fn files_of_a_crate_do_not_use_each_other_in_a_circle() {
    for name in [
        "wyoming",
        "audio",
        "kernels",
        "whisper",
        "telemetry",
        "server",
    ] {
        let read = Crate::read(&root().join("crates").join(name).join("src"));
        for module in read.files.keys() {
            let circle = read.circle(module);
            let circle: Vec<String> = circle.iter().map(|other| other.join("/")).collect();
            assert!(
                circle.is_empty(),
                "{name}: {} is in a circle with {circle:?}",
                module.join("/")
            );
        }
    }
}

/// Sources of a crate, by the names of their files.
fn check(files: &[(&str, &str)], module: &str, expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let read = Crate::read(folder.path());
    let module: Module = module.split('/').map(str::to_owned).collect();
    let circle: Vec<String> = read
        .circle(&module)
        .iter()
        .map(|other| other.join("/"))
        .collect();
    assert_eq!(circle, expected, "{files:?}");
}

#[test]
fn a_circle_is_seen_through_re_exports_and_paths_and_not_among_parents() {
    let lib = (
        "lib.rs",
        "pub mod a;\nmod b;\npub use b::{\n    Thing, Other as Another,\n};\n",
    );
    let b = (
        "b.rs",
        "use crate::a;\npub struct Thing;\npub struct Other;\nfn f() { a::g(); }\n",
    );
    for a in [
        "use crate::Thing;\n",
        "use crate::{\n    Another,\n};\n",
        "fn h() { crate::b::f(); }\n",
    ] {
        check(&[lib, b, ("a.rs", a)], "a", &["b"]);
    }
    check(&[lib, b, ("a.rs", "// use crate::Thing;\n")], "a", &[]);
    check(
        &[lib, b, ("a.rs", "#[cfg(test)]\nuse crate::Thing;\n")],
        "a",
        &[],
    );
    let parent = ("lib.rs", "mod a;\nuse a::A;\npub struct Shared;\n");
    check(&[parent, ("a.rs", "use crate::Shared;\n")], "a", &[]);
    let folder = [
        ("lib.rs", "mod a;\nmod b;\n"),
        ("a/mod.rs", "mod c;\nuse super::b;\nuse c::C;\n"),
        ("a/c.rs", "use super::D;\n"),
        ("b.rs", "use crate::a::c::{self, C};\n"),
    ];
    check(&folder, "b", &[]);
    let folder = [
        folder[0],
        folder[1],
        ("a/c.rs", "use super::super::b::B;\n"),
        folder[3],
    ];
    check(&folder, "b", &["a/c"]);
}
