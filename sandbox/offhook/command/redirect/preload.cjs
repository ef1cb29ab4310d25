// Redirects this program's requests to Twilio's REST API to Offhook. `offhook run` lets Node.js load it first.
// OFFHOOK_URL says where Offhook is. Only the host of the REST API is replaced, nothing else of a request.
"use strict";

const http = require("node:http");
const https = require("node:https");
const { syncBuiltinESMExports } = require("node:module");

const offhook = process.env.OFFHOOK_URL ? new URL(process.env.OFFHOOK_URL) : null;

// Of any region and edge.
const isTwilios = (host) => /^api(\.[a-z0-9-]+){0,2}\.twilio\.com$/i.test(host ?? "");

function redirected(url) {
  const result = new URL(url);
  result.protocol = offhook.protocol;
  result.host = offhook.host;
  return result;
}

// A request has a URL, options, or both, and may have a callback.
function redirectRequests() {
  const ofHttps = https.request;
  https.request = function request(...given) {
    const callback = typeof given.at(-1) === "function" ? given.pop() : undefined;
    const [first, second] = given;
    const hasUrl = typeof first === "string" || first instanceof URL;
    const url = hasUrl ? new URL(first) : null;
    const options = { ...(hasUrl ? second : first) };
    const host = options.hostname ?? options.host?.replace(/:\d+$/, "") ?? url?.hostname;
    if (!isTwilios(host)) return ofHttps.call(this, ...given, ...(callback ? [callback] : []));
    const path = options.path ?? (url ? url.pathname + url.search : "/");
    // An agent of HTTPS, or of a proxy, can't connect to it.
    const here = { protocol: "http:", host: null, hostname: offhook.hostname, port: offhook.port, agent: undefined };
    return http.request({ ...options, ...here, path }, callback);
  };
  https.get = function get(...given) {
    const request = https.request(...given);
    request.end();
    return request;
  };
  syncBuiltinESMExports();
}

function redirectFetch() {
  const original = globalThis.fetch;
  globalThis.fetch = function fetch(resource, options) {
    const isRequest = typeof Request === "function" && resource instanceof Request;
    let url;
    try {
      url = new URL(isRequest ? resource.url : resource);
    } catch {
      return original(resource, options); // it says what is wrong with it
    }
    if (!isTwilios(url.hostname)) return original(resource, options);
    return original(isRequest ? new Request(redirected(url), resource) : redirected(url), options);
  };
}

if (offhook) {
  redirectRequests();
  if (typeof globalThis.fetch === "function") redirectFetch();
}
