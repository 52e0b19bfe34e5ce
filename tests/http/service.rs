//! Starting the real binary, and ending it.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::client::Client;

/// The organization that a service's first token acts for.
pub(crate) const ORGANIZATION: &str = "000a115d-2852-4b0a-9ce8-47f1134ba95a";
/// The service's first token.
pub(crate) const TOKEN: &str = "0f5e3a9c-7c1d-4c39-8a44-6d1f3b0c9e21";

/// How long a state may take to come about before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until something is there.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::yield_now();
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// How a service is to be started.
pub(crate) struct Setup {
    data: Data,
    variables: BTreeMap<String, String>,
    arguments: Vec<String>,
    open_files: Option<u32>,
}

/// Where a service keeps what it has: in a folder that is removed with the last who uses it.
#[derive(Clone)]
pub(crate) struct Data(Arc<TempDir>);

impl Data {
    pub(crate) fn new() -> Self {
        Self(Arc::new(tempfile::tempdir().unwrap()))
    }

    /// The data folder, which is not there before the first start.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// A place for files of the test.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Setup {
    /// A service in a new folder, on a free port, with [`TOKEN`] and [`ORGANIZATION`].
    pub(crate) fn new() -> Self {
        Self::on(&Data::new())
            .set("SNAPSHOT__BOOTSTRAP__TOKEN", TOKEN)
            .set("SNAPSHOT__BOOTSTRAP__ORGANIZATION", ORGANIZATION)
    }

    /// A service in this folder, on a free port.
    pub(crate) fn on(data: &Data) -> Self {
        let setup = Self {
            data: data.clone(),
            variables: BTreeMap::new(),
            arguments: Vec::new(),
            open_files: None,
        };
        setup
            .set("SNAPSHOT__DATA_DIR", data.path().to_str().unwrap())
            .set("SNAPSHOT__SERVER__BIND", "127.0.0.1:0")
    }

    /// With this variable in its environment.
    pub(crate) fn set(mut self, variable: &str, value: &str) -> Self {
        self.variables.insert(variable.to_owned(), value.to_owned());
        self
    }

    /// With this argument.
    pub(crate) fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Allowed to have only so many files open, as long as it asks for no more.
    pub(crate) fn open_files(mut self, at_first: u32) -> Self {
        self.open_files = Some(at_first);
        self
    }

    /// The folder.
    pub(crate) fn data(&self) -> &Data {
        &self.data
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self) -> Output {
        self.command().output().unwrap()
    }

    /// Starts the binary as a service, and waits until it listens.
    #[track_caller]
    pub(crate) fn start(self) -> Service {
        let mut child = self
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = Text::collect(child.stdout.take().unwrap());
        let log = Text::collect(child.stderr.take().unwrap());
        let Some(address) = log.wait_for("listening on http://") else {
            panic!("the service did not start: {}", log.so_far());
        };
        Service {
            child,
            printed,
            log,
            address,
            setup: self,
        }
    }

    fn command(&self) -> Command {
        let binary = env!("CARGO_BIN_EXE_snapshot-api");
        let mut command = match self.open_files {
            Some(at_first) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -S -n {at_first}; exec \"$0\" \"$@\""), binary]);
                shell
            }
            None => Command::new(binary),
        };
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("SNAPSHOT__") {
                command.env_remove(variable);
            }
        }
        command.envs(&self.variables).args(&self.arguments).stdin(Stdio::null());
        command
    }
}

/// A running service. Killed when it is dropped.
pub(crate) struct Service {
    child: Child,
    printed: Text,
    log: Text,
    address: String,
    setup: Setup,
}

impl Service {
    /// As [`Setup::new`] starts it.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Setup::new().start()
    }

    /// Somebody with the service's first token.
    pub(crate) fn client(&self) -> Client {
        self.client_with(TOKEN)
    }

    /// Somebody with another token.
    pub(crate) fn client_with(&self, token: &str) -> Client {
        Client::new(&self.address, Some(token))
    }

    /// Somebody without a token.
    pub(crate) fn stranger(&self) -> Client {
        Client::new(&self.address, None)
    }

    /// `host:port`
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn data(&self) -> &Data {
        &self.setup.data
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// How many sockets the process has open.
    pub(crate) fn sockets(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// A command beside the running service.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let mut setup = Setup::on(&self.setup.data);
        setup.variables.clone_from(&self.setup.variables);
        setup.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        setup.run()
    }

    /// A command beside the running service, whose JSON is read.
    #[track_caller]
    pub(crate) fn json_of_command(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.command(&[arguments, &["--output", "json"]].concat());
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Makes another organization, and a token for it.
    pub(crate) fn other_tenant(&self) -> (String, Client) {
        let made = self.json_of_command(&["organization", "create", "another"]);
        let organization = made["organization"]["id"].as_str().unwrap().to_owned();
        let arguments = ["token", "create", "--name", "theirs", "--organization", &organization];
        let token = self.json_of_command(&arguments)["token"]["secret"]
            .as_str()
            .unwrap()
            .to_owned();
        (organization, self.client_with(&token))
    }

    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let killed = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(killed.unwrap().success());
    }

    /// Waits until the process is gone.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("the service's end", || self.child.try_wait().unwrap())
    }

    /// Ends the service as an operator does, and starts it again on the same folder.
    pub(crate) fn restart(mut self) -> Self {
        self.signal("TERM");
        assert!(self.wait().success());
        let setup = Setup {
            data: self.setup.data.clone(),
            variables: self.setup.variables.clone(),
            arguments: self.setup.arguments.clone(),
            open_files: self.setup.open_files,
        };
        setup.start()
    }

    /// Everything on standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.so_far()
    }

    /// Waits for a line on standard error, and returns what follows this text in it.
    #[track_caller]
    pub(crate) fn logged(&self, text: &str) -> String {
        self.log
            .wait_for(text)
            .unwrap_or_else(|| panic!("{text:?} is not in the log: {}", self.log()))
    }

    /// Everything on standard output so far.
    pub(crate) fn printed(&self) -> String {
        self.printed.so_far()
    }

    /// What the first start prints, once it has.
    #[track_caller]
    pub(crate) fn printed_at_first_start(&self) -> String {
        assert!(
            self.printed.wait_for("/snapshots\n").is_some(),
            "it printed {:?}",
            self.printed()
        );
        self.printed()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process writes, while it writes it.
#[derive(Clone)]
struct Text(Arc<(Mutex<Written>, Condvar)>);

#[derive(Default)]
struct Written {
    text: String,
    has_ended: bool,
}

impl Text {
    fn collect(from: impl std::io::Read + Send + 'static) -> Self {
        let text = Self(Arc::default());
        let into = text.clone();
        thread::spawn(move || {
            let mut lines = BufReader::new(from);
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                into.0.0.lock().unwrap().text.push_str(&line);
                into.0.1.notify_all();
                line.clear();
            }
            into.0.0.lock().unwrap().has_ended = true;
            into.0.1.notify_all();
        });
        text
    }

    fn so_far(&self) -> String {
        self.0.0.lock().unwrap().text.clone()
    }

    /// What follows `text` up to the next white space or quote; `None` when it never comes.
    fn wait_for(&self, text: &str) -> Option<String> {
        let written = self.0.0.lock().unwrap();
        let is_missing = |written: &mut Written| !written.has_ended && !written.text.contains(text);
        let (written, _) = self.0.1.wait_timeout_while(written, PATIENCE, is_missing).unwrap();
        let (_, rest) = written.text.split_once(text)?;
        let end = rest
            .find(|char: char| char.is_whitespace() || char == '"')
            .unwrap_or(rest.len());
        Some(rest[..end].to_owned())
    }
}

/// The permissions of a file or folder.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;

    path.metadata().unwrap().permissions().mode() & 0o777
}
