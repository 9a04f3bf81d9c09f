// MQTT.js in a headless chromium against a broker: the cases of mqttjs_client.js, run by a web page. Prints what they
// print, and ends the browser it started.
//
// Called as: browser_client.js HOST PORT VERSION PREFIX, with NODE_MODULES and TRANSPORT (ws or wss) in the environment
// as for mqttjs_client.js. A browser checks certificates by its own list of authorities, so for wss it is told not to.
'use strict'

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const http = require('node:http')
const os = require('node:os')
const path = require('node:path')

const LIMIT_MS = 100000
const transport = process.env.TRANSPORT || 'ws'
const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'browser-'))
let browser

// Also when this program breaks.
process.on('exit', () => browser && browser.kill('SIGKILL'))

function end (reason) {
  if (reason) console.log('fail browser', reason)
  if (browser) browser.kill('SIGKILL')
  // The browser's other processes may write for a moment longer.
  setTimeout(() => {
    fs.rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
    process.exit(0)
  }, 200)
}

// What the cases need of Node, written for a page.
function shims () {
  const plain = (value) => {
    if (value instanceof Uint8Array) return Array.from(value)
    if (Array.isArray(value)) return value.map(plain)
    if (value === null || typeof value !== 'object') return value
    return Object.fromEntries(Object.keys(value).sort().map((key) => [key, plain(value[key])]))
  }
  const text = (value) => JSON.stringify(plain(value))
  const ok = (value, message) => {
    if (!value) throw new Error(message || 'not so')
  }
  const same = (got, wanted, message) => ok(text(got) === text(wanted), `${message || ''} ${text(got)}, not ${text(wanted)}`)
  const lines = []
  const modules = {
    'node:assert/strict': { ok, equal: same, deepEqual: same },
    'node:fs': {},
    'node:path': { join: (...parts) => parts.join('/') },
    '/mqtt': window.mqtt,
  }
  return {
    require: (name) => modules[name],
    console: { log: (...words) => lines.push(words.join(' ')) },
    Buffer: { from: (bytes) => Uint8Array.from(bytes), compare: (a, b) => text(a) === text(b) ? 0 : 1 },
    exit: () => fetch('/lines', { method: 'POST', body: lines.join('\n') }),
  }
}

function page () {
  const cases = fs.readFileSync(path.join(__dirname, 'mqttjs_client.js'), 'utf8')
  const said = JSON.stringify({ argv: ['', '', ...process.argv.slice(2)], env: { NODE_MODULES: '', TRANSPORT: transport } })
  return `<!doctype html><title>cases</title><script src="/mqtt.js"></script><script>
    const shims = (${shims})()
    const process_ = { ...${said}, exit: shims.exit }
    ;(function (require, console, Buffer, process) { ${cases} })(shims.require, shims.console, shims.Buffer, process_)
  </script>`
}

const server = http.createServer((request, response) => {
  if (request.method === 'POST') {
    let body = ''
    request.on('data', (data) => { body += data })
    request.on('end', () => {
      response.end()
      console.log(body)
      end()
    })
  } else if (request.url === '/mqtt.js') {
    response.setHeader('content-type', 'text/javascript; charset=utf-8')
    response.end(fs.readFileSync(path.join(process.env.NODE_MODULES, 'mqtt/dist/mqtt.min.js')))
  } else if (request.url === '/') {
    response.setHeader('content-type', 'text/html; charset=utf-8')
    response.end(page())
  } else {
    response.statusCode = 404
    response.end()
  }
})

server.listen(0, '127.0.0.1', () => {
  const words = ['--headless=new', '--disable-gpu', '--no-first-run', `--user-data-dir=${profile}`]
  // Its sandbox does not start for root.
  if (process.getuid() === 0) words.push('--no-sandbox')
  if (transport === 'wss') words.push('--ignore-certificate-errors')
  const address = `http://127.0.0.1:${server.address().port}/`
  // What it keeps outside its profile, such as reports of crashes, lies below HOME.
  browser = spawn('chromium', [...words, address], { stdio: 'ignore', env: { ...process.env, HOME: profile } })
  browser.on('error', (error) => end(error.message))
  setTimeout(() => end(`the page said nothing within ${LIMIT_MS / 1000} s`), LIMIT_MS)
})
