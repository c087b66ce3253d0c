//! What each peer is made of.

use super::Peer;

/// The files of one peer, and how they become a server.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// The name of its folder, here and in the cache.
    pub(crate) name: &'static str,
    /// The package whose pinned version is told; `None` where there is none.
    pub(crate) package: Option<&'static str>,
    /// Who makes it.
    pub(crate) tool: Tool,
    /// Path below its folder, and content.
    pub(crate) files: &'static [(&'static str, &'static str)],
}

/// The package manager of a world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tool {
    /// `npm ci`; then `runtime`, a program below the folder or in `PATH`, runs `server.js`.
    Npm { runtime: &'static str },
    /// `cargo build --release --locked`; then `program` is run.
    Cargo { program: &'static str },
    /// `python3 -m venv` and `pip install`; then uvicorn runs the application.
    Python,
}

impl Recipe {
    /// Which version of which package it is: `channels 4.3.2`, and `1.4.5` alone where the package has the peer's own name; empty
    /// where there is no package.
    pub(crate) fn version(&self) -> String {
        let Some((package, pinned)) =
            self.package.and_then(|name| Some((name, self.pinned(name)?)))
        else {
            return String::new();
        };
        if package == self.name { pinned } else { format!("{package} {pinned}") }
    }

    /// The version of `package` that the peer's own files name.
    fn pinned(&self, package: &str) -> Option<String> {
        self.files.iter().find_map(|(path, content)| match *path {
            "package.json" => after(content, &format!("\"{package}\": \"")),
            "Cargo.lock" => after(content, &format!("name = \"{package}\"\nversion = \"")),
            "requirements.txt" => after(content, &format!("\n{package}==")),
            _ => None,
        })
    }
}

/// The recipe of a peer; `None` of this project's server.
pub(super) fn of(peer: Peer) -> Option<&'static Recipe> {
    RECIPES.iter().find(|recipe| recipe.name == peer.name())
}

/// What stands behind `mark`, to the end of its word.
fn after(text: &str, mark: &str) -> Option<String> {
    let (_, behind) = text.split_once(mark)?;
    let end = behind.find(['"', '\n']).unwrap_or(behind.len());
    Some(behind[..end].trim_end().to_owned())
}

/// Files of a folder in `loadtest/peers/`.
macro_rules! files {
    ($folder:literal: $($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../peers/", $folder, "/", $path)))),+]
    };
}

static RECIPES: [Recipe; 7] = [
    Recipe {
        name: "raw",
        package: None,
        tool: Tool::Cargo { program: "fortifun-peer-raw" },
        files: files!("raw": "Cargo.toml", "Cargo.lock", "src/main.rs", "src/frame.rs", "src/poll.rs", "src/server.rs"),
    },
    Recipe {
        name: "bun",
        package: Some("bun"),
        tool: Tool::Npm { runtime: "node_modules/.bin/bun" },
        files: files!("bun": "package.json", "package-lock.json", "server.js"),
    },
    Recipe {
        name: "node-ws",
        package: Some("ws"),
        tool: Tool::Npm { runtime: "node" },
        files: files!("node-ws": "package.json", "package-lock.json", "server.js"),
    },
    Recipe {
        name: "socketio",
        package: Some("socket.io"),
        tool: Tool::Npm { runtime: "node" },
        files: files!("socketio": "package.json", "package-lock.json", "server.js"),
    },
    Recipe {
        name: "axum",
        package: Some("axum"),
        tool: Tool::Cargo { program: "fortifun-peer-axum" },
        files: files!("axum": "Cargo.toml", "Cargo.lock", "src/main.rs"),
    },
    Recipe {
        name: "fastwebsockets",
        package: Some("fastwebsockets"),
        tool: Tool::Cargo { program: "fortifun-peer-fastwebsockets" },
        files: files!("fastwebsockets": "Cargo.toml", "Cargo.lock", "src/main.rs", "src/rooms.rs"),
    },
    Recipe {
        name: "django",
        package: Some("channels"),
        tool: Tool::Python,
        files: files!("django":
            "requirements.txt",
            "fortifun/__init__.py",
            "fortifun/asgi.py",
            "fortifun/settings.py",
            "fortifun/urls.py",
            "accounts/__init__.py",
            "accounts/middleware.py",
            "accounts/models.py",
            "conversations/__init__.py",
            "conversations/consumers.py",
            "conversations/models.py",
            "conversations/routing.py",
            "conversations/views.py",
        ),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_that_is_told_is_pinned() {
        for recipe in &RECIPES {
            let Some(package) = recipe.package else { continue };
            let pinned = recipe.pinned(package).unwrap_or_default();
            let digits = pinned.chars().all(|c| c.is_ascii_digit() || c == '.');
            assert!(digits && pinned.contains('.'), "{}: {package} {pinned:?}", recipe.name);
        }
        let version = |peer| of(peer).expect("it has one").version();
        assert_eq!(version(Peer::Raw), "");
        assert!(version(Peer::Bun).starts_with(|c: char| c.is_ascii_digit()));
        assert!(version(Peer::Django).starts_with("channels 4."));
    }

    #[test]
    fn every_source_file_of_a_peer_is_in_its_recipe() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        for recipe in &RECIPES {
            for (path, _) in recipe.files {
                assert!(folder.join(recipe.name).join(path).is_file(), "{}/{path}", recipe.name);
            }
            let sources = sources(&folder.join(recipe.name));
            assert!(sources.len() <= recipe.files.len(), "{}: {sources:?}", recipe.name);
            for source in sources {
                let path = source.strip_prefix(folder.join(recipe.name)).expect("it is below");
                assert!(recipe.files.iter().any(|(own, _)| path == *own), "{}", source.display());
            }
        }
    }

    /// Files of the languages here, below `folder`, and not what was made of them.
    fn sources(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).expect("the folder is there").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir()
                && !["target", "node_modules", "__pycache__"].iter().any(|own| name == *own)
            {
                found.extend(sources(&path));
            } else if ["rs", "js", "py"].iter().any(|own| path.extension() == Some(own.as_ref())) {
                found.push(path);
            }
        }
        found
    }
}
