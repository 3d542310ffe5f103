//! Measured speeds, kept for the next time.

use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::speed::{KernelSpeed, Speeds};
use crate::{Error, Prepared};

impl Speeds {
    /// Measured speeds of an earlier time where they are known for this machine, disk, number of threads and types of
    /// weights; measured now and kept otherwise, or if `again`.
    ///
    /// # Errors
    /// If the files cannot be read.
    pub fn known_or_measured(prepared: &Prepared, again: bool) -> Result<Speeds, Error> {
        // Plans count what the process has now: of what measuring takes some stays with the allocator for a while.
        prepared.held();
        let known = if again { None } else { Self::known(prepared) };
        match known {
            Some(speeds) => Ok(speeds),
            None => {
                let speeds = Speeds::measure(prepared)?;
                // Where it cannot be kept, it is measured again the next time.
                let _ = speeds.keep(prepared);
                Ok(speeds)
            }
        }
    }

    /// Measured speeds of an earlier time.
    pub fn known(prepared: &Prepared) -> Option<Speeds> {
        let all: Value = serde_json::from_slice(&fs::read(path()?).ok()?).ok()?;
        let kernels = &all["kernels"][kernel_key(prepared)];
        let disk = &all["disks"][disk_key(prepared)];
        let (disk, busy_disk) = (number(disk, "alone")?, number(disk, "busy")?);
        let mut speeds = Speeds { disk, busy_disk, ..Speeds::default() };
        for block_type in prepared.model().matrix_types() {
            let name = block_type.block().name;
            speeds.kernels.insert(name.into(), kernel(&kernels[name])?);
        }
        Some(speeds)
    }

    /// Adds them to what is known.
    fn keep(&self, prepared: &Prepared) -> std::io::Result<()> {
        let Some(path) = path() else { return Ok(()) };
        let known = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut all: Map<String, Value> = known.unwrap_or_default();
        let disk = json!({ "alone": self.disk, "busy": self.busy_disk });
        object(&mut all, "disks").insert(disk_key(prepared), disk);
        let kernels = object(object(&mut all, "kernels"), &kernel_key(prepared));
        for (name, KernelSpeed { streamed, resident, products }) in &self.kernels {
            let speed = json!({ "streamed": streamed, "resident": resident, "products": products });
            kernels.insert(name.clone(), speed);
        }
        let folder = path.parent().expect("a file within the cache");
        fs::create_dir_all(folder)?;
        let aside = path.with_extension(format!("{}.part", std::process::id()));
        fs::write(&aside, format!("{:#}\n", Value::Object(all)))?;
        fs::rename(&aside, &path)
    }
}

/// The object of a key, a new one if there is none: files may be damaged.
fn object<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = map.entry(key).or_insert(Value::Null);
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("made one")
}

fn kernel(value: &Value) -> Option<KernelSpeed> {
    Some(KernelSpeed {
        streamed: number(value, "streamed")?,
        resident: number(value, "resident")?,
        products: number(value, "products")?,
    })
}

fn number(value: &Value, key: &str) -> Option<f64> {
    value[key].as_f64().filter(|number| *number > 0.0)
}

/// `speeds.json` in the user's cache folder.
fn path() -> Option<PathBuf> {
    let folder = match std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME").or_else(|| std::env::var_os("LOCALAPPDATA"))?)
            .join(".cache"),
    };
    Some(folder.join("dewdrop/speeds.json"))
}

/// How kernels are measured: what was measured in another way is measured again.
const METHOD: u32 = 2;

/// The processor, how many threads of it, and what else their speed depends on.
fn kernel_key(prepared: &Prepared) -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let name = name.map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    let options = prepared.options();
    // What this machine lacks is not measured either.
    let isa = dewdrop_cpu::instruction_set(options.backend.isa()).unwrap_or("none");
    format!("{name}, {} threads, {isa}, method {METHOD}", options.n_threads())
}

/// The device that the model lies on.
fn disk_key(prepared: &Prepared) -> String {
    let path = prepared.checkpoint().path();
    #[cfg(unix)]
    if let Ok(metadata) = fs::metadata(path) {
        return format!("device {}", std::os::unix::fs::MetadataExt::dev(&metadata));
    }
    // Elsewhere paths begin with it.
    let path = path.canonicalize().unwrap_or_default();
    path.components().next().map_or("device".into(), |device| format!("device {:?}", device.as_os_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_damaged_file_has_in_place_of_an_object_is_replaced() {
        for damaged in [r#"{"kernels": 5}"#, r#"{"kernels": {"cpu": [1]}}"#, "{}"] {
            let mut all = serde_json::from_str(damaged).unwrap();
            let speeds = object(object(&mut all, "kernels"), "cpu");
            speeds.insert("Q4_0".into(), json!(1));
            assert_eq!(Value::Object(all), json!({ "kernels": { "cpu": { "Q4_0": 1 } } }), "{damaged}");
        }
    }
}
