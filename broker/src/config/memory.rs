//! How much memory request buffers may take when nobody says: a quarter of what this process may use.
//!
//! The limit is the smallest of the machine's memory and the memory limits of the cgroups that the process
//! lives in, so that a broker in a small container stays within it. Read once at start.

const MIB: u64 = 1 << 20;

/// The default of `queued.max.request.bytes`: between 32 MiB and 1 GiB.
pub fn default_request_pool_bytes() -> u64 {
    (limit_bytes() / 4).clamp(32 * MIB, 1024 * MIB)
}

fn limit_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    let machine = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit));
    cgroup_limits().fold(machine, u64::min)
}

/// Limits of the cgroup (v2, else v1) of this process and of its parents.
fn cgroup_limits() -> impl Iterator<Item = u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let files: Vec<String> = own.lines().flat_map(limit_files).collect();
    files.into_iter().filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok())
}

/// From one line of /proc/self/cgroup, such as `0::/kubepods/x` or `4:memory:/x`, the files to look at.
fn limit_files(line: &str) -> Vec<String> {
    let mut fields = line.splitn(3, ':');
    let (root, file) = match (fields.next(), fields.next()) {
        (Some("0"), Some("")) => ("/sys/fs/cgroup", "memory.max"),
        (_, Some(controllers)) if controllers.split(',').any(|name| name == "memory") => {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let mut path = fields.next().unwrap_or("/").trim_end_matches('/');
    let mut files = vec![format!("{root}{path}/{file}")];
    while let Some((parent, _)) = path.rsplit_once('/') {
        files.push(format!("{root}{parent}/{file}"));
        path = parent;
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_a_cgroup_and_of_all_its_parents_count() {
        assert_eq!(
            limit_files("0::/pods/a"),
            [
                "/sys/fs/cgroup/pods/a/memory.max",
                "/sys/fs/cgroup/pods/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(limit_files("4:memory:/")[0], "/sys/fs/cgroup/memory/memory.limit_in_bytes");
        assert!(limit_files("3:cpu:/x").is_empty());
    }

    #[test]
    fn the_default_lies_within_its_bounds() {
        assert!((32 * MIB..=1024 * MIB).contains(&default_request_pool_bytes()));
    }
}
