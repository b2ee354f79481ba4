//! `/etc/passwd`, `/etc/group` and their shadows, as base-passwd and the packages' scripts make them.

use std::io::Write;

use super::tree::{Tree, TreeError};

/// The group of `/etc/shadow`; fixed by Debian policy 9.2.2 and base-passwd.
const SHADOW_GID: u64 = 42;
/// Dynamically allocated system accounts; Debian policy 9.2.2.
const SYSTEM_IDS: std::ops::RangeInclusive<u32> = 100..=999;
const NOLOGIN: &str = "/usr/sbin/nologin";

/// Accounts that scripts of packages make with adduser: package, name, whether a user too.
const MADE_BY_SCRIPTS: [(&str, &str, bool); 8] = [
    ("dbus", "messagebus", true),
    ("dbus-system-bus-common", "messagebus", true),
    ("libibverbs1", "rdma", false),
    ("openssh-client", "_ssh", false),
    ("openssh-server", "sshd", true),
    ("munge", "munge", true),
    ("uuid-runtime", "uuidd", true),
    ("rpcbind", "_rpc", true),
];

struct Accounts {
    users: Vec<[String; 7]>,
    groups: Vec<[String; 4]>,
}

/// Writes all account files. `packages` are names in order.
pub(super) fn write<W: Write>(tree: &mut Tree<W>, packages: &[&str]) -> Result<(), TreeError> {
    let text = |bytes: Option<&[u8]>, default: &str| {
        bytes.map_or_else(
            || default.to_owned(),
            |bytes| String::from_utf8_lossy(bytes).into_owned(),
        )
    };
    // Without base-passwd (a base of no more than some libraries): the two that programs look for.
    let passwd = text(
        tree.kept("usr/share/base-passwd/passwd.master"),
        "root:*:0:0:root:/root:/bin/sh\nnobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    );
    let group = text(
        tree.kept("usr/share/base-passwd/group.master"),
        "root:*:0:\nshadow:*:42:\nnogroup:*:65534:\n",
    );
    let mut accounts = Accounts {
        users: parse(&passwd),
        groups: parse(&group),
    };
    if packages.contains(&"apt") && !accounts.has_user("_apt") {
        accounts.add_user("_apt", None, Some(65534), "");
    }
    for (package, name, is_user) in MADE_BY_SCRIPTS {
        if packages.contains(&package) {
            accounts.add_group(name, None);
            if is_user && !accounts.has_user(name) {
                let gid = accounts.gid(name);
                accounts.add_user(name, None, gid, "");
            }
        }
    }
    for (_, bytes) in tree.kept_below("usr/lib/sysusers.d") {
        accounts.read_sysusers(&String::from_utf8_lossy(&bytes));
    }
    let has_shadow = packages.contains(&"passwd");
    let hidden = if has_shadow { "x" } else { "*" };
    for user in &mut accounts.users {
        user[1] = hidden.to_owned();
    }
    for group in &mut accounts.groups {
        group[1] = hidden.to_owned();
    }
    tree.file("etc/passwd", 0o644, lines(&accounts.users).as_bytes())?;
    tree.file("etc/group", 0o644, lines(&accounts.groups).as_bytes())?;
    if has_shadow {
        let days = tree.newest() / 86_400;
        let shadow: String = accounts
            .users
            .iter()
            .map(|user| format!("{}:*:{days}:0:99999:7:::\n", user[0]))
            .collect();
        tree.owned_file("etc/shadow", 0o640, SHADOW_GID, shadow.as_bytes())?;
        let gshadow: String = accounts
            .groups
            .iter()
            .map(|group| format!("{}:*::{}\n", group[0], group[3]))
            .collect();
        tree.owned_file("etc/gshadow", 0o640, SHADOW_GID, gshadow.as_bytes())?;
        tree.file("etc/subuid", 0o644, b"")?;
        tree.file("etc/subgid", 0o644, b"")?;
    }
    Ok(())
}

/// Lines of exactly `N` fields.
fn parse<const N: usize>(text: &str) -> Vec<[String; N]> {
    text.lines()
        .filter_map(|line| {
            let fields: Vec<String> = line.split(':').map(str::to_owned).collect();
            fields.try_into().ok()
        })
        .collect()
}

fn lines<const N: usize>(records: &[[String; N]]) -> String {
    records
        .iter()
        .map(|fields| fields.join(":") + "\n")
        .collect()
}

impl Accounts {
    fn has_user(&self, name: &str) -> bool {
        self.users.iter().any(|user| user[0] == name)
    }

    fn gid(&self, name: &str) -> Option<u32> {
        self.groups.iter().find(|group| group[0] == name)?[2]
            .parse()
            .ok()
    }

    /// The lowest id that neither users nor groups have, so that the two can be the same.
    fn free_id(&self) -> Option<u32> {
        let taken = |id: u32| {
            let id = id.to_string();
            self.users.iter().any(|user| user[2] == id)
                || self.groups.iter().any(|group| group[2] == id)
        };
        SYSTEM_IDS.into_iter().find(|id| !taken(*id))
    }

    fn add_group(&mut self, name: &str, id: Option<u32>) {
        if self.gid(name).is_none()
            && let Some(id) = id.or_else(|| self.free_id())
        {
            self.groups.push([
                name.to_owned(),
                String::new(),
                id.to_string(),
                String::new(),
            ]);
        }
    }

    fn add_user(&mut self, name: &str, id: Option<u32>, gid: Option<u32>, comment: &str) {
        let id = id
            .or_else(|| gid.filter(|gid| SYSTEM_IDS.contains(gid)))
            .or_else(|| self.free_id());
        if let (Some(id), Some(gid)) = (id, gid.or(id)) {
            let fields = [
                name,
                "",
                &id.to_string(),
                &gid.to_string(),
                comment,
                "/nonexistent",
                NOLOGIN,
            ];
            self.users.push(fields.map(str::to_owned));
        }
    }

    /// `u name id comment …` and `g name id`; sysusers.d(5). Lines that ask for more than a number or
    /// `-` as id are passed over.
    fn read_sysusers(&mut self, text: &str) {
        for line in text.lines() {
            let (line, comment) = match line.split_once('"') {
                Some((start, rest)) => (start, rest.split('"').next().unwrap_or_default()),
                None => (line, ""),
            };
            let mut words = line.split_whitespace();
            let (Some(kind), Some(name)) = (words.next(), words.next()) else {
                continue;
            };
            let number = match words.next() {
                None | Some("-") => None,
                Some(text) => match text.parse() {
                    Ok(id) => Some(id),
                    Err(_) => continue,
                },
            };
            let is_plain = |name: &str| {
                name.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
            };
            if !is_plain(name) || comment.contains(':') {
                continue;
            }
            match kind {
                "g" => self.add_group(name, number),
                "u" | "u!" if !self.has_user(name) => {
                    self.add_group(name, number);
                    let gid = self.gid(name);
                    self.add_user(name, number, gid, comment);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_accounts_get_the_lowest_free_id_for_user_and_group() {
        let mut accounts = Accounts {
            users: parse("root:*:0:0:root:/root:/bin/bash\n"),
            groups: parse("root:*:0:\nusers:*:100:\n"),
        };
        accounts.read_sysusers(
            "# x\ng journal - -\nu net - \"Network\" -\nu odd 7:8 -\nu root 0 -\ng fixed 44 -\n",
        );
        assert_eq!(accounts.gid("journal"), Some(101));
        assert_eq!(accounts.gid("fixed"), Some(44));
        let net = accounts
            .users
            .iter()
            .find(|user| user[0] == "net")
            .expect("made");
        assert_eq!(
            (net[2].as_str(), net[3].as_str(), net[4].as_str()),
            ("102", "102", "Network")
        );
        assert_eq!(
            accounts.users.len(),
            2,
            "root is there once, odd ids are passed over"
        );
    }
}
