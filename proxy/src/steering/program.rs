//! The XDP program in the kernel: loaded, attached, taken over, detached.
//!
//! Everything that must outlive the process is pinned: the maps under `<pinPath>/v<schema>/`, one link for each
//! interface as `<pinPath>/links/<mode>/<interface>`. The process keeps no descriptor of a link, so that
//! removing its pin detaches it, whoever does so. Links are not versioned: a process with other map layouts takes the
//! interface over all the same.

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};
use nix::errno::Errno;
use nix::sys::statfs;
use weir_common::map::{self, SCHEMA, program};

use super::maps::{Maps, with_causes};
use crate::config::static_file::SteeringMode;

/// How the program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttachMode {
    /// In the driver.
    Native,
    /// Behind the driver, on socket buffers.
    Generic,
}

impl AttachMode {
    const ALL: [Self; 2] = [Self::Native, Self::Generic];

    /// As in the configuration, in status and in the name of the pin.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }

    const fn flag(self) -> XdpMode {
        match self {
            Self::Native => XdpMode::Driver,
            Self::Generic => XdpMode::Skb,
        }
    }
}

impl fmt::Display for AttachMode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Where things are pinned.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
}

impl Pins {
    /// Below `steering.pinPath`.
    pub fn below(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The maps, by name.
    pub fn maps(&self) -> PathBuf {
        self.root.join(format!("v{SCHEMA}"))
    }

    fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    /// A file on a bpffs may have no dot in its name, an interface no colon.
    fn link(&self, interface: &str, mode: AttachMode) -> PathBuf {
        self.links()
            .join(mode.name())
            .join(interface.replace('.', ":"))
    }

    /// Interfaces with a pinned link, sorted. None when nothing is pinned.
    pub fn attached(&self) -> io::Result<Vec<(String, AttachMode)>> {
        let mut attached = Vec::new();
        for mode in AttachMode::ALL {
            let links = read_directory(&self.links().join(mode.name()))?;
            let names = links
                .iter()
                .filter_map(|link| Some(link.file_name()?.to_str()?.replace(':', ".")));
            attached.extend(names.map(|interface| (interface, mode)));
        }
        attached.sort();
        Ok(attached)
    }

    /// Detaches the program from every interface and removes all that is pinned, of every schema. Touches nothing that
    /// weir does not make, and nothing outside a bpffs: the path comes from a configuration.
    pub fn remove(&self) -> io::Result<()> {
        if !self.on_bpffs() {
            return Ok(());
        }
        // Links first: no packet meets a program whose maps are going.
        remove_directory(&self.links())?;
        self.versions()?
            .iter()
            .try_for_each(|maps| remove_directory(maps))?;
        match fs::remove_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            removed => removed.or_else(not_found_is_fine),
        }
    }

    /// The maps of every schema.
    fn versions(&self) -> io::Result<Vec<PathBuf>> {
        let is_version = |path: &PathBuf| {
            let name = path
                .file_name()
                .and_then(|name| name.to_str()?.strip_prefix('v'));
            name.is_some_and(|schema| schema.parse::<u32>().is_ok())
        };
        Ok(read_directory(&self.root)?
            .into_iter()
            .filter(is_version)
            .collect())
    }

    /// Detaches the program from every other interface; says from which.
    pub fn detach_all_but(&self, interfaces: &[&str]) -> io::Result<Vec<String>> {
        let mut detached = Vec::new();
        for (interface, mode) in self.attached()? {
            if !interfaces.contains(&&*interface) {
                fs::remove_file(self.link(&interface, mode)).or_else(not_found_is_fine)?;
                detached.push(interface);
            }
        }
        Ok(detached)
    }

    fn create(&self) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(self.maps())?;
        AttachMode::ALL
            .iter()
            .try_for_each(|mode| builder.create(self.links().join(mode.name())))
    }

    /// Removes the maps of other schemas, which nobody uses after a take-over.
    pub fn remove_other_schemas(&self) -> io::Result<()> {
        let other = self
            .versions()?
            .into_iter()
            .filter(|maps| *maps != self.maps());
        other
            .into_iter()
            .try_for_each(|maps| remove_directory(&maps))
    }

    /// Whether the place is on a bpffs, or would be once it is made.
    pub fn on_bpffs(&self) -> bool {
        let existing = self.root.ancestors().find(|path| path.exists());
        existing
            .and_then(|path| statfs::statfs(path).ok())
            .is_some_and(|fs| fs.filesystem_type() == statfs::BPF_FS_MAGIC)
    }
}

fn read_directory(path: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// With all that is in it. `remove_dir_all` of the standard library stops at a pin: it opens what it removes.
fn remove_directory(path: &Path) -> io::Result<()> {
    for entry in read_directory(path)? {
        let removed = if entry.is_dir() {
            remove_directory(&entry)
        } else {
            fs::remove_file(&entry)
        };
        removed.or_else(not_found_is_fine)?;
    }
    fs::remove_dir(path).or_else(not_found_is_fine)
}

fn not_found_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

/// The program, loaded: attaches to interfaces and takes over what is pinned.
pub struct Program {
    ebpf: Ebpf,
    pins: Pins,
}

/// Why the kernel does not run the program; what to do about it is in the text.
#[derive(Debug)]
pub struct Refused(pub String);

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl Program {
    /// Loads the object with its maps pinned; maps that are pinned already are taken over with what is in them.
    pub fn load(object: &[u8], pins: Pins) -> Result<Self, Refused> {
        pins.create()
            .map_err(|error| Refused(format!("{}: {error}", pins.root.display())))?;
        let directory = pins.maps();
        let mut loader = EbpfLoader::new();
        for name in map::ALL {
            loader.map_pin_path(name, directory.join(name));
        }
        let mut ebpf = loader.load(object).map_err(refused)?;
        xdp(&mut ebpf)?.load().map_err(refused)?;
        Ok(Self { ebpf, pins })
    }

    /// Attaches to an interface, or puts this program in the place of an earlier process's between two packets. Where
    /// the native mode is refused, `auto` falls back to generic.
    pub fn attach(&mut self, interface: &str, mode: SteeringMode) -> Result<AttachMode, Refused> {
        let wanted: &[AttachMode] = match mode {
            SteeringMode::Auto => &[AttachMode::Native, AttachMode::Generic],
            SteeringMode::Native => &[AttachMode::Native],
            SteeringMode::Generic => &[AttachMode::Generic],
            SteeringMode::Off => &[],
        };
        if let Some(mode) = self.take_over(interface, wanted)? {
            return Ok(mode);
        }
        let mut last = Refused("steering is off".into());
        for &mode in wanted {
            match self.attach_afresh(interface, mode) {
                Ok(()) => return Ok(mode),
                Err(error) => {
                    tracing::warn!(interface, %mode, reason = %error, "the kernel does not attach the XDP program so");
                    last = error;
                }
            }
        }
        Err(last)
    }

    /// Where its link and maps are.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Whether this interface's link is still pinned: an operator may have detached it.
    pub fn is_pinned(&self, interface: &str, mode: AttachMode) -> bool {
        self.pins.link(interface, mode).exists()
    }

    fn take_over(
        &mut self,
        interface: &str,
        wanted: &[AttachMode],
    ) -> Result<Option<AttachMode>, Refused> {
        for held in AttachMode::ALL {
            let pin = self.pins.link(interface, held);
            let link = match PinnedLink::from_pin(&pin) {
                Ok(link) => link,
                Err(LinkError::SyscallError(error))
                    if error.io_error.kind() == io::ErrorKind::NotFound =>
                {
                    continue;
                }
                Err(error) => {
                    return Err(Refused(format!(
                        "{}: {}",
                        pin.display(),
                        with_causes(&error)
                    )));
                }
            };
            if wanted.contains(&held) {
                if self.replace(FdLink::from(link))? {
                    return Ok(Some(held));
                }
                tracing::info!(
                    interface,
                    "attaching afresh: the interface was deleted and made again"
                );
            } else {
                self.warn_of_cut(interface, held);
            }
            fs::remove_file(&pin)
                .map_err(|error| Refused(format!("{}: {error}", pin.display())))?;
        }
        Ok(None)
    }

    /// Between the two modes packets of steered connections meet a host that does not know them.
    fn warn_of_cut(&self, interface: &str, held: AttachMode) {
        let counted = Maps::open(&self.pins.maps()).and_then(|maps| maps.connections());
        let connections: u64 = counted.map_or(0, |connections| connections.values().sum());
        tracing::warn!(
            interface, mode = %held, connections,
            "detaching to attach in another mode, as the configuration asks: steered connections may be cut"
        );
    }

    /// Puts this program into a link that holds another; `false` where the link's interface was deleted since.
    fn replace(&mut self, link: FdLink) -> Result<bool, Refused> {
        let program = xdp(&mut self.ebpf)?;
        let link = match program.attach_to_link(XdpLink::try_from(link).map_err(refused)?) {
            Err(error) if errno(&error) == Some(Errno::ENOLINK) => return Ok(false),
            replaced => replaced.map_err(refused)?,
        };
        // Dropping the descriptor leaves the pin as the only thing that holds the link.
        let link = program.take_link(link).map_err(refused)?;
        FdLink::try_from(link).map(drop).map_err(refused)?;
        Ok(true)
    }

    fn attach_afresh(&mut self, interface: &str, mode: AttachMode) -> Result<(), Refused> {
        let pin = self.pins.link(interface, mode);
        let program = xdp(&mut self.ebpf)?;
        let link = program
            .attach(interface, mode.flag())
            .and_then(|link| program.take_link(link));
        let link = link.map_err(refused)?;
        let link = FdLink::try_from(link).map_err(refused)?;
        link.pin(&pin)
            .map(drop)
            .map_err(|error| Refused(format!("{}: {}", pin.display(), with_causes(&error))))
    }
}

fn refused(error: impl std::error::Error) -> Refused {
    Refused(with_causes(&error))
}

fn xdp(ebpf: &mut Ebpf) -> Result<&mut Xdp, Refused> {
    let program = ebpf
        .program_mut(program::STEER)
        .map_or_else(not_loaded, TryInto::try_into);
    program.map_err(refused)
}

fn not_loaded<'p>() -> Result<&'p mut Xdp, ProgramError> {
    Err(ProgramError::NotLoaded)
}

fn errno(error: &ProgramError) -> Option<Errno> {
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error().map(Errno::from_raw),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_path_outside_a_bpffs_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("links/native/eth0");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "not a pin").unwrap();
        let pins = Pins::below(directory.path());
        assert!(!pins.on_bpffs());
        pins.remove().unwrap();
        assert!(file.exists());
    }

    #[test]
    fn an_interface_with_a_dot_has_a_pin_without_one() {
        let pins = Pins::below(Path::new("/sys/fs/bpf/weir"));
        let pin = pins.link("eth0.100", AttachMode::Generic);
        assert_eq!(pin, Path::new("/sys/fs/bpf/weir/links/generic/eth0:100"));
    }
}
