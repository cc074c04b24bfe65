//! How much memory a process holds.

use std::fs;

use super::Failed;

/// The resident size of a process, or of this one, in bytes.
pub(crate) fn resident(process: Option<u32>) -> Result<u64, Failed> {
    let name = process.map_or_else(|| "self".to_owned(), |id| id.to_string());
    let status = fs::read_to_string(format!("/proc/{name}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next()).ok_or("no VmRSS")?;
    Ok(kibibytes.parse::<u64>()? * 1024)
}
