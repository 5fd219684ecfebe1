//! Requests and answers between parties. Stands where mutual TLS and HTTP stand: the peer is proved by
//! its certificate, what arrives is whole, and everything else can go wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ecaf::domain::party::Party;
use ecaf::http::client::Reply;
use ecaf::http::{
    Alpn, ClientFault, ClientResponse, Fields, Handler, Line, Peer, Request, RequestId, Response,
    Trust,
};
use ecaf::protocol::message::EVENTS_PATH;
use ecaf::protocol::trust::{Chain, Purpose};
use http::{HeaderMap, Method};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::scheduler::Scheduler;
use super::scheme::{Papers, authority_party, gateway_party, scheme, school_party, worker_party};

/// A machine on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    School(usize),
    Gateway(usize),
    Authority(usize),
    /// The machine of a worker at an authority.
    Worker(usize),
}

impl Node {
    pub fn party(self) -> Party {
        match self {
            Node::School(place) => school_party(place),
            Node::Gateway(process) => gateway_party(process),
            Node::Authority(place) => authority_party(place),
            Node::Worker(worker) => worker_party(worker),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // To be padded by the trace.
        f.pad(&match self {
            Node::School(place) => format!("school {place}"),
            Node::Gateway(place) => format!("gateway {place}"),
            Node::Authority(place) => format!("authority {place}"),
            Node::Worker(worker) => format!("worker {worker}"),
        })
    }
}

/// How the network behaves, in times of a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// A request or an answer takes seconds.
    pub late: u32,
    /// A request never arrives, or its answer never comes back. The caller waits in vain.
    pub lost: u32,
    /// The connection breaks over a request: it arrives or not, the caller knows nothing at once.
    pub broken: u32,
    /// A request arrives once more, perhaps much later.
    pub doubled: u32,
    /// The answer of another request comes instead. Mutual TLS prevents it; receipts prove it.
    pub swapped: u32,
    /// A dispatch arrives at another authority. Mutual TLS prevents it; notes prove it.
    pub misrouted: u32,
}

impl Weather {
    /// Fine.
    pub const CALM: Self =
        Self { late: 0, lost: 0, broken: 0, doubled: 0, swapped: 0, misrouted: 0 };
}

/// What a request says.
#[derive(Clone)]
struct Asked {
    method: Method,
    path: String,
    fields: Fields,
    body: Bytes,
}

/// A process that answers requests until it dies.
pub struct Process {
    handler: Arc<dyn Handler>,
    trust: Arc<Trust>,
    tasks: Mutex<Option<Vec<AbortHandle>>>,
}

impl Process {
    pub fn new(handler: Arc<dyn Handler>, trust: Arc<Trust>) -> Arc<Self> {
        Arc::new(Self { handler, trust, tasks: Mutex::new(Some(Vec::new())) })
    }

    /// Runs a task that dies with this process.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap();
        if let Some(tasks) = &mut *tasks {
            tasks.retain(|task| !task.is_finished());
            tasks.push(tokio::spawn(task).abort_handle());
        }
    }

    /// Ends every task at the step at which it stands.
    pub fn kill(&self) {
        for task in self.tasks.lock().unwrap().take().into_iter().flatten() {
            task.abort();
        }
    }

    /// Hands a request in. No answer comes if the process dies meanwhile.
    fn ask(
        self: &Arc<Self>,
        certificates: Chain,
        asked: Asked,
        id: [u8; 16],
    ) -> Option<oneshot::Receiver<Response>> {
        let chain = self.trust.check(&certificates, Purpose::TlsClient).ok()?;
        let mut headers = HeaderMap::new();
        for (name, value) in asked.fields {
            headers.append(name, value);
        }
        let request = Request {
            method: asked.method,
            path: asked.path,
            query: None,
            headers,
            body: asked.body,
            peer: Arc::new(Peer {
                chain,
                certificates,
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
                alpn: Alpn::H2,
                resumed: false,
                key_exchange: "X25519MLKEM768",
            }),
            request_id: RequestId(id),
            traceparent: None,
        };
        let (answer, comes) = oneshot::channel();
        let process = Arc::clone(self);
        self.spawn(async move {
            let response = process.handler.handle(request).await;
            // Whoever stopped waiting does not need it.
            let _ = answer.send(response);
        });
        Some(comes)
    }
}

/// Everybody's connections.
pub struct Network {
    scheduler: Arc<Scheduler>,
    weather: Mutex<Weather>,
    processes: Mutex<BTreeMap<Node, Arc<Process>>>,
    cut: Mutex<BTreeSet<(Node, Node)>>,
    last_answers: Mutex<BTreeMap<Node, ClientResponse>>,
    /// The certificates that machines connect with; [`Papers::Lasting`] unless named.
    papers: Mutex<BTreeMap<Node, Papers>>,
}

/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

impl Network {
    pub fn new(scheduler: &Arc<Scheduler>, weather: Weather) -> Arc<Self> {
        Arc::new(Self {
            scheduler: Arc::clone(scheduler),
            weather: Mutex::new(weather),
            processes: Mutex::default(),
            cut: Mutex::default(),
            last_answers: Mutex::default(),
            papers: Mutex::default(),
        })
    }

    /// Fine weather from now on, and every connection mended.
    pub fn calm(&self) {
        *self.weather.lock().unwrap() = Weather::CALM;
        self.cut.lock().unwrap().clear();
    }

    /// The certificates that a machine has.
    pub fn papers(&self, node: Node) -> Papers {
        self.papers.lock().unwrap().get(&node).copied().unwrap_or_default()
    }

    /// Gives a machine other certificates.
    pub fn give_papers(&self, node: Node, papers: Papers) {
        self.papers.lock().unwrap().insert(node, papers);
    }

    fn certificates(&self, node: Node) -> Chain {
        scheme().tls(&node.party(), self.papers(node)).clone()
    }

    /// A process starts to answer as `node`.
    pub fn join(&self, node: Node, process: Arc<Process>) {
        self.processes.lock().unwrap().insert(node, process);
    }

    /// Nobody answers as `node` any more.
    pub fn leave(&self, node: Node) {
        self.processes.lock().unwrap().remove(&node);
    }

    /// Cuts or mends the connection between two machines.
    pub fn set_cut(&self, one: Node, other: Node, cut: bool) {
        let mut cuts = self.cut.lock().unwrap();
        for pair in [(one, other), (other, one)] {
            if cut {
                cuts.insert(pair)
            } else {
                cuts.remove(&pair)
            };
        }
    }

    fn is_cut(&self, from: Node, to: Node) -> bool {
        self.cut.lock().unwrap().contains(&(from, to))
    }

    fn process(&self, node: Node) -> Option<Arc<Process>> {
        self.processes.lock().unwrap().get(&node).cloned()
    }

    /// A way from a school to the gateway of one name: any of its processes that is up.
    pub fn line_to_gateway(
        self: &Arc<Self>,
        from: Node,
        party: &Party,
        gateways: usize,
    ) -> Box<dyn Line> {
        let to = (0..gateways).map(Node::Gateway).filter(|node| node.party() == *party).collect();
        Box::new(Wire { network: Arc::clone(self), from, to })
    }

    /// A way from a gateway to one party.
    pub fn line_to(self: &Arc<Self>, from: Node, to: Node) -> Arc<dyn Line> {
        Arc::new(Wire { network: Arc::clone(self), from, to: vec![to] })
    }

    fn chance(&self, of: impl Fn(&Weather) -> u32) -> bool {
        let per_mille = of(&self.weather.lock().unwrap());
        self.scheduler.random(|r| r.chance(per_mille))
    }

    /// The time that something is on its way.
    async fn transit(&self, note: &impl Fn(&str)) {
        let late = self.chance(|w| w.late);
        if late {
            note("late");
        }
        let (low, high) = if late { (1_000_000, 40_000_000) } else { (300, 30_000) };
        self.scheduler.turn(low, high).await;
    }

    async fn exchange(
        self: &Arc<Self>,
        from: Node,
        to: Node,
        asked: Asked,
    ) -> Result<ClientResponse, ClientFault> {
        let about = about(&asked.body);
        let note = |what: &str| {
            self.scheduler
                .note(from, format_args!("{what}: {} {}{about} to {to}", asked.method, asked.path));
        };
        if self.process(to).is_none() || self.is_cut(from, to) {
            self.scheduler.turn(500, 3_000_000).await;
            note("cannot reach");
            return Err(ClientFault::Unreachable);
        }
        let to = match (to, self.chance(|w| w.misrouted)) {
            // Events have no addressee in them: that they reach theirs rests on mutual TLS alone.
            (Node::Authority(place), true) if asked.path != EVENTS_PATH => {
                note("misrouted");
                Node::Authority((place + 1) % 3)
            }
            _ => to,
        };
        let breaks = self.chance(|w| w.broken).then(|| self.scheduler.random(|r| r.below(3)));
        self.transit(&note).await;
        if breaks == Some(0) {
            note("breaks on the way");
            return Err(ClientFault::OutcomeUnknown);
        }
        if self.is_cut(from, to) || self.chance(|w| w.lost) {
            note("lost");
            return pending().await;
        }
        let id = self.scheduler.random(|r| {
            let (high, low) = (r.number(), r.number());
            (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
        });
        if self.chance(|w| w.doubled) {
            note("doubled");
            let (network, again) = (Arc::clone(self), asked.clone());
            tokio::spawn(async move {
                network.scheduler.turn(1_000, 60_000_000).await;
                if let Some(process) = network.process(to) {
                    drop(process.ask(network.certificates(from), again, id));
                }
            });
        }
        let certificates = self.certificates(from);
        let ask = |process: Arc<Process>| process.ask(certificates, asked.clone(), id);
        let comes = self.process(to).and_then(ask);
        if breaks == Some(1) {
            note("breaks while it is worked on");
            return Err(ClientFault::OutcomeUnknown);
        }
        let answer = match comes {
            Some(comes) => comes.await.ok(),
            None => None,
        };
        let Some(answer) = answer else {
            note("nobody answers");
            return Err(ClientFault::OutcomeUnknown);
        };
        self.transit(&note).await;
        if breaks == Some(2) {
            note("breaks on the way back");
            return Err(ClientFault::OutcomeUnknown);
        }
        if self.is_cut(from, to) || self.chance(|w| w.lost) {
            note("answer lost");
            return pending().await;
        }
        let headers = answer.headers.into_iter().collect();
        let answer = ClientResponse { status: answer.status, headers, body: answer.body };
        note(answer.status.as_str());
        // To take an event is to say 202: nothing in the answer proves what it is for.
        if asked.path == EVENTS_PATH {
            return Ok(answer);
        }
        let before = self.last_answers.lock().unwrap().insert(to, answer.clone());
        match before {
            Some(other) if self.chance(|w| w.swapped) => {
                note("answer swapped");
                Ok(other)
            }
            _ => Ok(answer),
        }
    }
}

/// The referral that a body is about, for the trace.
fn about(body: &[u8]) -> String {
    const MEMBER: &[u8] = b"\"referral_id\":\"";
    let at = body.windows(MEMBER.len()).position(|window| window == MEMBER);
    let id = at.and_then(|at| body.get(at + MEMBER.len()..at + MEMBER.len() + 8));
    id.map(|id| format!(" {}", String::from_utf8_lossy(id))).unwrap_or_default()
}

/// A way from one machine to one of several that are alike.
struct Wire {
    network: Arc<Network>,
    from: Node,
    to: Vec<Node>,
}

impl Line for Wire {
    fn send<'a>(&'a self, method: Method, path: &'a str, fields: Fields, body: Bytes) -> Reply<'a> {
        Box::pin(async move {
            let network = &self.network;
            let up: Vec<Node> =
                self.to.iter().copied().filter(|n| network.process(*n).is_some()).collect();
            let candidates = if up.is_empty() { &self.to } else { &up };
            let to = network.scheduler.random(|r| r.pick(candidates));
            let asked = Asked { method, path: path.to_owned(), fields, body };
            let exchange = network.exchange(self.from, to, asked);
            let outcome = network.scheduler.within(PATIENCE, exchange).await;
            outcome.unwrap_or(Err(ClientFault::OutcomeUnknown))
        })
    }
}
