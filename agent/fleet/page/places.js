// Addresses within the page: #/ the fleet, #/sites/SITE one site, #/gateways/SITE/NAME a gateway.

const SITE = /^#\/sites\/([^/]+)$/;
const GATEWAY = /^#\/gateways\/([^/]+)\/([^/]+)$/;

export const ofSite = (site) => `#/sites/${encodeURIComponent(site)}`;
export const ofGateway = (site, gateway) => `#/gateways/${encodeURIComponent(site)}/${encodeURIComponent(gateway)}`;

function plain(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// { site, gateway } of an address; both empty for the fleet.
export function placeAt(hash) {
  const gateway = GATEWAY.exec(hash);
  if (gateway) return { site: plain(gateway[1]), gateway: plain(gateway[2]) };
  const site = SITE.exec(hash);
  return { site: site ? plain(site[1]) : "", gateway: "" };
}
