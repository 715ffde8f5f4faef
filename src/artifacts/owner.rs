//! Names of users and groups on this host, as its own files have them.

use std::fs;

/// `user:group`, names or numbers; without a group the user's own.
///
/// # Errors
/// A sentence: this host knows no such user or group.
pub fn resolve(owner: &str) -> Result<(u32, u32), String> {
    let passwd = || fs::read_to_string("/etc/passwd").unwrap_or_default();
    let group = || fs::read_to_string("/etc/group").unwrap_or_default();
    resolve_in(owner, &passwd(), &group())
}

fn resolve_in(owner: &str, passwd: &str, groups: &str) -> Result<(u32, u32), String> {
    let (user, group) = match owner.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (owner, None),
    };
    let row = rows(passwd).find(|row| row.first() == Some(&user));
    let id = |row: &[&str], column: usize| row.get(column).and_then(|text| text.parse().ok());
    let uid = user.parse().ok().or_else(|| row.as_ref().and_then(|row| id(row, 2)));
    let uid: u32 = uid.ok_or_else(|| {
        format!("this host knows no user `{user}` (/etc/passwd): make it, or give its number")
    })?;
    let gid = match group {
        Some(group) => {
            let row = rows(groups).find(|row| row.first() == Some(&group));
            let gid = group.parse().ok().or_else(|| row.and_then(|row| id(&row, 2)));
            gid.ok_or_else(|| {
                format!("this host knows no group `{group}` (/etc/group): make it, or give its number")
            })?
        }
        None => {
            let own = row.or_else(|| rows(passwd).find(|row| id(row, 2) == Some(uid)));
            own.and_then(|row| id(&row, 3)).unwrap_or(uid)
        }
    };
    Ok((uid, gid))
}

fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

#[cfg(test)]
mod tests {
    use super::resolve_in;

    #[test]
    fn names_and_numbers_are_found() {
        let (passwd, groups) =
            ("root:x:0:0::/:/bin/sh\nwww-data:x:33:34::/:/bin/sh\n", "root:x:0:\nwww:x:35:\n");
        for (owner, ids) in [
            ("root", (0, 0)),
            ("www-data", (33, 34)),
            ("www-data:www", (33, 35)),
            ("33", (33, 34)),
            ("1000", (1000, 1000)),
            ("1000:35", (1000, 35)),
            ("1000:www", (1000, 35)),
        ] {
            assert_eq!(resolve_in(owner, passwd, groups), Ok(ids), "{owner}");
        }
        assert!(resolve_in("nobody", passwd, groups).is_err_and(|why| why.contains("user `nobody`")));
        assert!(resolve_in("root:x", passwd, groups).is_err_and(|why| why.contains("group `x`")));
    }
}
