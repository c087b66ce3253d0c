//! Source files as rules see them: code without comments, texts and tests, and the paths it names.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of code.
pub(super) struct Source {
    /// Relative to the repository: `src/shard/table.rs`.
    pub(super) path: String,
    /// The code: comments, the contents of texts and what `#[cfg(test)]` covers are blanked; lines are kept.
    pub(super) code: String,
    /// True exactly when its first line is a module's doc comment.
    pub(super) is_introduced: bool,
}

/// A path that code names, from its root on: `crate::store::Reply`, `std::fs`.
pub(super) struct Named {
    pub(super) line: usize,
    pub(super) path: Vec<String>,
}

/// All files of `src/` that are not tests.
pub(super) fn sources(root: &Path) -> Vec<Source> {
    let mut tests = Vec::new();
    let mut sources = Vec::new();
    for file in files(&root.join("src"), &["rs"]) {
        let text = fs::read_to_string(&file).unwrap();
        let (code, test_modules) = without_tests(&blank(&text));
        let folder = module_folder(&file);
        tests.extend(test_modules.iter().map(|name| folder.join(name)));
        let path = file.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        sources.push((file, Source { path, code, is_introduced: text.starts_with("//! ") }));
    }
    let is_test = |file: &Path| tests.iter().any(|test| file.with_extension("").starts_with(test));
    sources.into_iter().filter(|(file, _)| !is_test(file)).map(|(_, source)| source).collect()
}

/// Every file below `folder` with one of these extensions, in order; what package managers and compilers leave is passed over.
pub(super) fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !["node_modules", "target"].contains(&name) {
                    folders.push(path);
                }
            } else if extensions
                .iter()
                .any(|extension| path.extension().is_some_and(|e| e == *extension))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

impl Source {
    /// The top-level module it is part of.
    pub(super) fn room(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap();
        below.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// The module's path from the crate's root on: `["shard", "table"]`.
    fn module(&self) -> Vec<String> {
        let below = self.path.strip_prefix("src/").unwrap().trim_end_matches(".rs");
        match below {
            "lib" | "main" => Vec::new(),
            below => below.split('/').map(str::to_owned).collect(),
        }
    }

    /// Every place where `word` stands by itself, by line.
    pub(super) fn lines_with(&self, word: &str) -> Vec<usize> {
        let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        self.code
            .match_indices(word)
            .filter(|(at, _)| {
                let starts = word.starts_with(|c: char| c.is_alphanumeric());
                let ends = word.ends_with(|c: char| c.is_alphanumeric());
                let before = self.code[..*at].chars().next_back();
                let after = self.code[at + word.len()..].chars().next();
                !(starts && is_part(before) || ends && is_part(after))
            })
            .map(|(at, _)| self.line(at))
            .collect()
    }

    /// Every path that begins with `crate`, `self`, `super`, `std` or the library's own name, groups taken apart, and told from the root.
    pub(super) fn paths(&self) -> Vec<Named> {
        let mut named = Vec::new();
        for root in ["crate", "self", "super", "std", "fortifun_realtime"] {
            for (at, _) in self.code.match_indices(root) {
                let is_inside = self.code[..at]
                    .ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
                if is_inside || !self.code[at + root.len()..].starts_with("::") {
                    continue;
                }
                let mut paths = Vec::new();
                expand(&self.code[at..], Vec::new(), &mut paths);
                let line = self.line(at);
                named.extend(
                    paths.into_iter().map(|path| Named { line, path: self.absolute(path) }),
                );
            }
        }
        named
    }

    fn absolute(&self, path: Vec<String>) -> Vec<String> {
        let mut module = self.module();
        let mut parts = path.into_iter().peekable();
        match parts.peek().map(String::as_str) {
            Some("std") => return parts.collect(),
            Some("crate" | "fortifun_realtime") => {
                parts.next();
                module.clear();
            }
            _ => {
                while let Some("self" | "super") = parts.peek().map(String::as_str) {
                    if parts.next().as_deref() == Some("super") {
                        module.pop();
                    }
                }
            }
        }
        std::iter::once("crate".to_owned()).chain(module).chain(parts).collect()
    }

    fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

/// The paths of a use tree, and how much of `text` it takes.
fn expand(text: &str, prefix: Vec<String>, paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix;
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        let word = text[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').count();
        if word > 0 {
            path.push(text[at..at + word].to_owned());
            at += word;
            if !text[at..].starts_with("::") {
                break;
            }
            at += 2;
        } else if text[at..].starts_with('{') {
            at += 1;
            while !text[at..].trim_start().starts_with('}') {
                at += expand(&text[at..], path.clone(), paths);
                // `as name`, and the comma.
                at += text[at..].find([',', '}']).unwrap();
                if text[at..].starts_with(',') {
                    at += 1;
                }
            }
            at += text[at..].find('}').unwrap() + 1;
            return at;
        } else {
            // `*`, a turbofish or a macro's `$name`: what was named so far counts.
            break;
        }
    }
    paths.push(path);
    at
}

/// `text` with comments and the contents of texts and characters blanked.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let len = match &bytes[at..] {
            [b'/', b'/', rest @ ..] => 2 + rest.iter().take_while(|b| **b != b'\n').count(),
            [b'/', b'*', ..] => comment_len(&bytes[at..]),
            [b'"', ..] => quoted_len(&bytes[at..]),
            [b'r', b'"' | b'#', ..] if !is_word_end(&out) => raw_len(&bytes[at..]),
            [b'\'', ..] => char_len(&bytes[at..]),
            _ => 0,
        };
        if len == 0 {
            out.push(bytes[at]);
            at += 1;
        } else {
            let kept = bytes[at..at + len].iter().map(|b| if *b == b'\n' { b'\n' } else { b' ' });
            out.extend(kept);
            at += len;
        }
    }
    String::from_utf8(out).unwrap()
}

fn is_word_end(out: &[u8]) -> bool {
    // `br"…"` is a text too.
    matches!(out, [.., before, b'b'] if before.is_ascii_alphanumeric())
        || matches!(out, [.., last] if (last.is_ascii_alphanumeric() || *last == b'_') && *last != b'b')
}

fn comment_len(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            [] => return at,
            _ => at += 1,
        }
    }
}

fn quoted_len(bytes: &[u8]) -> usize {
    let mut at = 1;
    while bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// 0 where it is no raw text: `r#type`.
fn raw_len(bytes: &[u8]) -> usize {
    let hashes = bytes[1..].iter().take_while(|b| **b == b'#').count();
    if bytes.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let end = ["\"", &"#".repeat(hashes)].concat();
    let inside = 2 + hashes;
    let len =
        bytes[inside..].windows(end.len()).position(|window| window == end.as_bytes()).unwrap();
    inside + len + end.len()
}

/// 0 where it is a lifetime.
fn char_len(bytes: &[u8]) -> usize {
    match bytes {
        [_, b'\\', ..] => 3 + bytes[3..].iter().position(|b| *b == b'\'').unwrap() + 1 - 1 + 1,
        [_, first, ..] => {
            let width = match first {
                0xf0.. => 4,
                0xe0.. => 3,
                0xc0.. => 2,
                _ => 1,
            };
            if bytes.get(1 + width) == Some(&b'\'') { width + 2 } else { 0 }
        }
        _ => 0,
    }
}

/// `code` with what `#[cfg(test)]` covers blanked, and the names of the test modules that stand in files of their own.
fn without_tests(code: &str) -> (String, Vec<String>) {
    let mut code = code.to_owned();
    let mut modules = Vec::new();
    for mark in ["#[cfg(test)]", "#[cfg(all(test, not(loom)))]"] {
        while let Some(start) = code.find(mark) {
            let after = start + mark.len();
            let open = code[after..].find(['{', ';']).unwrap() + after;
            let words = code[after..open].split_whitespace().collect::<Vec<_>>();
            let end = if code[open..].starts_with(';') {
                if let [.., "mod", name] = words[..] {
                    modules.push(name.to_owned());
                }
                open + 1
            } else {
                block_end(&code, open)
            };
            let blanked = code[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' });
            let blanked = blanked.collect::<String>();
            code.replace_range(start..end, &blanked);
        }
    }
    (code, modules)
}

fn block_end(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return open + at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    panic!("a block has an end");
}

/// Where the modules that `file` declares have their files.
fn module_folder(file: &Path) -> PathBuf {
    let stem = file.file_stem().unwrap();
    if ["lib", "main"].iter().any(|root| stem == *root) {
        file.parent().unwrap().to_owned()
    } else {
        file.with_extension("")
    }
}

mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), code: without_tests(&blank(text)).0, is_introduced: true }
    }

    #[test]
    fn comments_texts_and_tests_are_no_code() {
        let text = "a // crate::x\n/* b /* c */ d */ e \"crate::\\\"y\" 'f' '\\'' '\\u{1F600}' 'é' r#\"\"g\"\"# &'h i\n\
                    #[cfg(test)]\nmod tests {\n use crate::z; { } }\nj";
        let source = source("src/x.rs", text);
        assert_eq!(source.code.split_whitespace().collect::<Vec<_>>(), ["a", "e", "&'h", "i", "j"]);
        assert_eq!(source.lines_with("j"), [6]);
    }

    #[test]
    fn paths_are_told_from_the_root() {
        let text = "use crate::{a::{self, B}, c as d};\nfn f() { super::super::e(); self::g::<u8>() } use std::fs::*;";
        let paths = source("src/shard/table.rs", text).paths();
        let told: Vec<String> = paths.iter().map(|named| named.path.join("::")).collect();
        assert_eq!(
            told,
            [
                "crate::a::self",
                "crate::a::B",
                "crate::c",
                "crate::shard::table::g",
                "crate::e",
                "std::fs"
            ]
        );
    }

    #[test]
    fn words_stand_by_themselves() {
        let source = source("src/x.rs", "log::info!(1);\nblog::x; logs::y; log::z");
        assert_eq!(source.lines_with("log::"), [1, 2]);
    }
}
