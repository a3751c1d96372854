// OpenAI's own JavaScript client, unmodified, against the local Batch API: node official_client.mjs REQUESTS.jsonl
import fs from "node:fs";
import OpenAI from "openai";

const client = new OpenAI(); // OPENAI_BASE_URL and OPENAI_API_KEY
const uploaded = await client.files.create({ file: fs.createReadStream(process.argv[2]), purpose: "batch" });
let batch = await client.batches.create({
  input_file_id: uploaded.id,
  endpoint: "/v1/chat/completions",
  completion_window: "24h",
});
while (batch.status !== "completed") batch = await client.batches.retrieve(batch.id);
const listed = [];
for await (const one of client.batches.list({ limit: 1 })) listed.push(one.id);
if (!listed.includes(batch.id)) throw new Error("the batch is not in the list");
const content = await (await client.files.content(batch.output_file_id)).text();
const answered = content.trim().split("\n").map((line) => JSON.parse(line)).filter((line) => line.response.status_code === 200);
await client.files.delete(uploaded.id);
console.log(`${answered.length} answered`);
