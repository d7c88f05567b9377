// Reads a step's name a line and answers "ok" or "failed: " and why.
const readline = require('node:readline');

module.exports = async function serve(act) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    try {
      await act(line.trim());
      console.log('ok');
    } catch (error) {
      console.log('failed: ' + String(error && error.message || error).replaceAll('\n', ' '));
    }
  }
  process.exit(0);
};
