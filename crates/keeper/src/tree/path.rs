//! Paths: which are valid, and what their parents are.

/// Whether `path` may name a node (`PathUtils.validatePath`).
pub fn is_valid(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    if rest.is_empty() {
        return true;
    }
    rest.split('/').all(|name| !matches!(name, "" | "." | "..")) && rest.chars().all(is_valid_char)
}

/// ZooKeeper looks at UTF-16 units, so everything outside the basic plane is a surrogate to it, and refused.
fn is_valid_char(c: char) -> bool {
    !matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

/// The parent's path as `PrepRequestProcessor` finds it: everything before the last slash, which is the empty
/// string for a child of the root. `None` without a slash or with a NUL.
pub fn parent(path: &str) -> Option<&str> {
    if path.contains('\0') {
        return None;
    }
    path.rfind('/').and_then(|slash| path.get(..slash))
}

/// The last element of a path.
pub fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The root answers to two names.
pub fn canonical(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

/// `path` and each of its ancestors, nearest first, the root last.
pub fn with_ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(
        Some(canonical(path)),
        |current| {
            if *current == "/" { None } else { parent(current).map(canonical) }
        },
    )
}

/// The path of `child` below `parent`.
pub fn join(parent: &str, child: &str) -> String {
    if parent == "/" { format!("/{child}") } else { format!("{parent}/{child}") }
}
