//! A whole world for one test: broker, home, client, and a daemon that is not started yet.

use crate::{Broker, Client, Daemon, Home, House, Places};

/// Everything that a test needs, in the order in which it ends: the daemon first, the broker last.
#[derive(Debug)]
pub struct World {
    /// The daemon.
    pub hob: Daemon,
    /// Whoever sends commands.
    pub client: Client,
    /// The devices.
    pub home: Home,
    /// The broker.
    pub broker: Broker,
}

/// The node that every test's daemon is.
const NODE: &str = "attic";

impl World {
    /// Broker, home and client are there; hob is laid out.
    ///
    /// # Errors
    /// When something is missing: says what to run.
    pub async fn before_hob(house: &House, places: Places) -> anyhow::Result<Self> {
        let broker = Broker::start().await?;
        let home = Home::start(broker.port(), house).await?;
        let client = Client::connect(broker.port(), NODE, "client").await?;
        let hob = Daemon::prepare(broker.port(), NODE, house, places)?;
        Ok(Self { hob, client, home, broker })
    }

    /// All of it, with hob running.
    ///
    /// # Errors
    /// When something is missing, or hob does not start.
    pub async fn with_hob(house: &House, places: Places) -> anyhow::Result<Self> {
        let mut world = Self::before_hob(house, places).await?;
        world.hob.start(&world.client).await?;
        Ok(world)
    }

    /// The shipped example home with the model of the tests, and hob running.
    ///
    /// # Errors
    /// When something is missing, or hob does not start.
    pub async fn example() -> anyhow::Result<Self> {
        Self::with_hob(&House::example()?, Places::tiny()?).await
    }
}
