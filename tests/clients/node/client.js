// Create models, watch the notices, predict, cancel and roll back through node's pg.
// Prints a line of JSON for each scenario; ADDRESS, a URL, is where to connect.
"use strict";

const { Client, Pool } = require("pg");
const Cursor = require("pg-cursor");

const [create, endless, misspelt, countRight] = process.argv.slice(2);
const connectionString = process.env.ADDRESS;

const scenarios = {
  async create(client, notices) {
    const created = await client.query(create);
    const right = await client.query(`${countRight} AND width > $1`, [1.0]);
    const dropped = await client.query("DROP MODEL node_made");
    return {
      tags: [created.command, dropped.command],
      columns: created.fields.length,
      notices,
      right: right.rows,
    };
  },

  async rollBack(client, notices) {
    await client.query("BEGIN");
    await client.query(create.replace("node_made", "node_rolled_back"));
    const models = await client.query("SHOW MODELS");
    await client.query("ROLLBACK");
    return { notices, models: models.rows.map((row) => row.model) };
  },

  // One query that is a whole transaction; the driver gives a result for each statement.
  async rollBackAtOnce(client) {
    const text = create.replace("node_made", "node_at_once");
    const results = await client.query(`BEGIN; ${text}; ROLLBACK`);
    return results.map((result) => result.command);
  },

  async cancel(client) {
    const ended = new Promise((resolve) => {
      const running = new (require("pg").Query)(endless, (error) => resolve(error));
      client.once("notice", () => new Client({ connectionString }).cancel(client, running));
      client.query(running);
    });
    const error = await ended;
    const after = await client.query("SELECT 1 AS one");
    return { code: error.code, message: error.message, detail: error.detail, after: after.rows };
  },

  async error(client) {
    const facts = [];
    for (const config of [{ text: misspelt }, { text: misspelt, queryMode: "extended" }]) {
      const { code, position, hint } = await client.query(config).catch((error) => error);
      facts.push({ code, position, hint });
    }
    const after = await client.query("SELECT 1 AS one");
    return { facts, after: after.rows };
  },

  // A name makes a prepared statement, which is bound again and again.
  async prepared(client) {
    const facts = [];
    for (let turn = 0; turn < 7; turn++) {
      const right = await client.query({
        name: "right",
        text: "SELECT count(*) FROM flowers f WHERE predict_flower(f) = kind AND width > $1",
        values: [1.0],
      });
      const columns = await client.query({ name: "columns", text: "DESCRIBE MODEL flower" });
      facts.push([right.rows[0].count, ...columns.rows.map((row) => row.column)]);
    }
    return facts;
  },

  // Portions of rows; the portal stays open over several messages, without a Sync between.
  async cursor(client) {
    await client.query("BEGIN");
    const cursor = client.query(new Cursor("DESCRIBE MODEL flower"));
    const portions = [await cursor.read(2), await cursor.read(2)];
    await cursor.close();
    await client.query("COMMIT");
    return portions.map((rows) => rows.map((row) => row.column));
  },

  async pool() {
    const pool = new Pool({ connectionString, max: 3 });
    const results = await Promise.all(
      Array.from({ length: 9 }, () => pool.query("SHOW MODEL flower")),
    );
    await pool.end();
    return results.map((result) => result.rows.find((row) => row.property === "status").value);
  },
};

async function main() {
  for (const [scenario, play] of Object.entries(scenarios)) {
    const client = new Client({ connectionString });
    const notices = [];
    client.on("notice", (notice) => notices.push(notice.message));
    await client.connect();
    const facts = await play(client, notices).catch((error) => String(error.stack));
    await client.end();
    console.log(JSON.stringify({ scenario, facts }));
  }
}

main();
