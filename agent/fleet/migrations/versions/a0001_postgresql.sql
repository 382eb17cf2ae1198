CREATE TABLE event (
	time TIMESTAMP WITH TIME ZONE NOT NULL,
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	boot BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	kind TEXT DEFAULT '' NOT NULL,
	subject TEXT DEFAULT '' NOT NULL,
	historical BOOLEAN NOT NULL,
	data JSONB NOT NULL,
	heard_at TIMESTAMP WITH TIME ZONE NOT NULL
)
 PARTITION BY RANGE (time);
CREATE TABLE event_other PARTITION OF event DEFAULT;
CREATE INDEX event_gateway ON event (gateway_id, time);
CREATE INDEX event_time ON event USING brin (time);
CREATE TABLE gateway (
	id BIGSERIAL NOT NULL,
	site TEXT NOT NULL,
	gateway TEXT NOT NULL,
	store TEXT DEFAULT '' NOT NULL,
	boot BIGINT,
	online BOOLEAN,
	reason TEXT DEFAULT '' NOT NULL,
	since TIMESTAMP WITH TIME ZONE,
	time_quality TEXT DEFAULT '' NOT NULL,
	version TEXT DEFAULT '' NOT NULL,
	heard_at TIMESTAMP WITH TIME ZONE,
	births BIGINT DEFAULT 0 NOT NULL,
	contract_hash TEXT DEFAULT '' NOT NULL,
	contract_made TEXT DEFAULT '' NOT NULL,
	held_tags BIGINT DEFAULT 0 NOT NULL,
	open_changes BIGINT DEFAULT 0 NOT NULL,
	changes JSONB DEFAULT '[]' NOT NULL,
	contract_said_at TIMESTAMP WITH TIME ZONE,
	contract_heard_at TIMESTAMP WITH TIME ZONE,
	promise JSONB,
	clash JSONB DEFAULT '[]' NOT NULL,
	clash_until TIMESTAMP WITH TIME ZONE,
	turns JSONB DEFAULT '{}' NOT NULL,
	life_store TEXT DEFAULT '' NOT NULL,
	life_boot BIGINT DEFAULT 0 NOT NULL,
	life_turn BIGINT DEFAULT 0 NOT NULL,
	past JSONB DEFAULT '{}' NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (site, gateway)
)
 WITH (fillfactor = 60);
CREATE TABLE horizon (
	"of" TEXT NOT NULL,
	kept_from TIMESTAMP WITH TIME ZONE NOT NULL,
	PRIMARY KEY ("of")
);
CREATE TABLE relay (
	id BIGSERIAL NOT NULL,
	target TEXT NOT NULL,
	name TEXT NOT NULL,
	payload BYTEA NOT NULL,
	queued_at TIMESTAMP WITH TIME ZONE NOT NULL,
	why TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX relay_waiting ON relay (target, why, id);
CREATE TABLE relay_target (
	target TEXT NOT NULL,
	holder TEXT DEFAULT '' NOT NULL,
	until TIMESTAMP WITH TIME ZONE,
	attempts BIGINT DEFAULT 0 NOT NULL,
	next_at TIMESTAMP WITH TIME ZONE,
	trouble TEXT DEFAULT '' NOT NULL,
	delivered BIGINT DEFAULT 0 NOT NULL,
	dropped TEXT DEFAULT '{}' NOT NULL,
	PRIMARY KEY (target)
);
CREATE TABLE summary (
	start_at TIMESTAMP WITH TIME ZONE NOT NULL,
	end_at TIMESTAMP WITH TIME ZONE NOT NULL,
	series_id BIGINT NOT NULL,
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	boot BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	count BIGINT DEFAULT 0 NOT NULL,
	good BIGINT DEFAULT 0 NOT NULL,
	sum NUMERIC DEFAULT '0' NOT NULL,
	sum_sq NUMERIC DEFAULT '0' NOT NULL,
	min BIGINT,
	max BIGINT,
	scans BIGINT DEFAULT 0 NOT NULL,
	extrapolating BIGINT DEFAULT 0 NOT NULL,
	jointly BIGINT DEFAULT 0 NOT NULL,
	histogram JSONB NOT NULL,
	losses JSONB,
	heard_at TIMESTAMP WITH TIME ZONE NOT NULL
)
 PARTITION BY RANGE (start_at);
CREATE TABLE summary_other PARTITION OF summary DEFAULT;
CREATE INDEX summary_message ON summary (gateway_id, seq);
CREATE INDEX summary_series ON summary (series_id, start_at);
CREATE INDEX summary_time ON summary USING brin (start_at);
CREATE TABLE total (
	series_id BIGINT NOT NULL,
	day DATE NOT NULL,
	windows BIGINT DEFAULT 0 NOT NULL,
	count BIGINT DEFAULT 0 NOT NULL,
	good BIGINT DEFAULT 0 NOT NULL,
	sum NUMERIC DEFAULT '0' NOT NULL,
	sum_sq NUMERIC DEFAULT '0' NOT NULL,
	min BIGINT,
	max BIGINT,
	scans BIGINT DEFAULT 0 NOT NULL,
	extrapolating BIGINT DEFAULT 0 NOT NULL,
	jointly BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (series_id, day)
)
 WITH (fillfactor = 60);
CREATE TABLE worker (
	name TEXT NOT NULL,
	heard_at TIMESTAMP WITH TIME ZONE NOT NULL,
	rows BIGINT DEFAULT 0 NOT NULL,
	messages BIGINT DEFAULT 0 NOT NULL,
	duplicates BIGINT DEFAULT 0 NOT NULL,
	unreadable BIGINT DEFAULT 0 NOT NULL,
	trouble TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (name)
)
 WITH (fillfactor = 60);
CREATE TABLE condition (
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	id TEXT NOT NULL,
	boot BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	open BOOLEAN NOT NULL,
	incident TEXT DEFAULT '' NOT NULL,
	cause TEXT DEFAULT '' NOT NULL,
	text TEXT DEFAULT '' NOT NULL,
	models JSONB DEFAULT '[]' NOT NULL,
	raised_at TIMESTAMP WITH TIME ZONE,
	data JSONB DEFAULT '{}' NOT NULL,
	heard_at TIMESTAMP WITH TIME ZONE,
	PRIMARY KEY (gateway_id, store, id),
	FOREIGN KEY(gateway_id) REFERENCES gateway (id) ON DELETE CASCADE
)
 WITH (fillfactor = 60);
CREATE INDEX condition_open ON condition (gateway_id) WHERE open;
CREATE TABLE gap (
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	boot BIGINT NOT NULL,
	"of" TEXT NOT NULL,
	reason TEXT NOT NULL,
	ranges TEXT DEFAULT '[]' NOT NULL,
	count BIGINT DEFAULT 0 NOT NULL,
	told_at TIMESTAMP WITH TIME ZONE NOT NULL,
	PRIMARY KEY (gateway_id, store, boot, "of", reason),
	FOREIGN KEY(gateway_id) REFERENCES gateway (id) ON DELETE CASCADE
);
CREATE TABLE life (
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	boot BIGINT NOT NULL,
	birth BIGINT,
	turn BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (gateway_id, store, boot),
	FOREIGN KEY(gateway_id) REFERENCES gateway (id) ON DELETE CASCADE
)
 WITH (fillfactor = 60);
CREATE TABLE mark (
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	boot BIGINT NOT NULL,
	stream TEXT NOT NULL,
	received TEXT DEFAULT '[]' NOT NULL,
	lost TEXT DEFAULT '[]' NOT NULL,
	earlier TEXT DEFAULT '[]' NOT NULL,
	told TEXT DEFAULT '[]' NOT NULL,
	announced TEXT DEFAULT '[]' NOT NULL,
	count BIGINT DEFAULT 0 NOT NULL,
	duplicates BIGINT DEFAULT 0 NOT NULL,
	missing BIGINT DEFAULT 0 NOT NULL,
	awaited BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (gateway_id, store, boot, stream),
	FOREIGN KEY(gateway_id) REFERENCES gateway (id) ON DELETE CASCADE
)
 WITH (fillfactor = 60);
CREATE INDEX mark_open ON mark (gateway_id) WHERE missing > 0 OR awaited > 0;
CREATE TABLE model (
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	model TEXT NOT NULL,
	boot BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	version TEXT DEFAULT '' NOT NULL,
	owner JSONB,
	verdict TEXT DEFAULT '' NOT NULL,
	since TIMESTAMP WITH TIME ZONE,
	reasons JSONB DEFAULT '[]' NOT NULL,
	text TEXT DEFAULT '' NOT NULL,
	data JSONB DEFAULT '{}' NOT NULL,
	heard_at TIMESTAMP WITH TIME ZONE NOT NULL,
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
	watched BOOLEAN NOT NULL,
	PRIMARY KEY (gateway_id, store, model),
	FOREIGN KEY(gateway_id) REFERENCES gateway (id) ON DELETE CASCADE
)
 WITH (fillfactor = 60);
CREATE TABLE presence (
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	boot BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	online BOOLEAN NOT NULL,
	reason TEXT DEFAULT '' NOT NULL,
	since TIMESTAMP WITH TIME ZONE,
	version TEXT DEFAULT '' NOT NULL,
	heard_at TIMESTAMP WITH TIME ZONE NOT NULL,
	contract JSONB,
	promise JSONB,
	PRIMARY KEY (gateway_id, store),
	FOREIGN KEY(gateway_id) REFERENCES gateway (id) ON DELETE CASCADE
)
 WITH (fillfactor = 60);
CREATE TABLE request (
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	id TEXT NOT NULL,
	boot BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	model TEXT DEFAULT '' NOT NULL,
	state TEXT DEFAULT '' NOT NULL,
	open BOOLEAN NOT NULL,
	owner TEXT DEFAULT '' NOT NULL,
	since TIMESTAMP WITH TIME ZONE,
	answers TEXT DEFAULT '' NOT NULL,
	text TEXT DEFAULT '' NOT NULL,
	hint TEXT DEFAULT '' NOT NULL,
	criteria JSONB DEFAULT '[]' NOT NULL,
	data JSONB DEFAULT '{}' NOT NULL,
	heard_at TIMESTAMP WITH TIME ZONE,
	PRIMARY KEY (gateway_id, store, id),
	FOREIGN KEY(gateway_id) REFERENCES gateway (id) ON DELETE CASCADE
)
 WITH (fillfactor = 60);
CREATE INDEX request_open ON request (gateway_id) WHERE open;
CREATE TABLE series (
	id BIGSERIAL NOT NULL,
	gateway_id BIGINT NOT NULL,
	model TEXT NOT NULL,
	tag TEXT NOT NULL,
	baseline TEXT NOT NULL,
	centre DOUBLE PRECISION NOT NULL,
	scale DOUBLE PRECISION NOT NULL,
	unit TEXT DEFAULT '' NOT NULL,
	per_hour BOOLEAN NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (gateway_id, model, tag, baseline, centre, scale),
	FOREIGN KEY(gateway_id) REFERENCES gateway (id) ON DELETE CASCADE
);
CREATE VIEW model_now AS
SELECT w.gateway_id, w.site, w.gateway, w.store, w.model, w.version, w.owner,
    CASE WHEN w.why = '' THEN w.told ELSE 'unassessable' END AS verdict,
    CASE WHEN w.why <> '' THEN 1 ELSE CASE w.told
        WHEN 'untrusted' THEN 0 WHEN 'unassessable' THEN 1 WHEN 'caution' THEN 2
        WHEN 'trusted' THEN 3 ELSE 1 END END AS rank,
    w.told, w.why, w.since, w.text, w.reasons, w.data, w.boot, w.seq, w.heard_at, w.expires_at,
    w.watched
FROM (
    SELECT m.gateway_id, g.site, g.gateway, m.store, m.model, m.version, m.owner, m.verdict AS told,
        CASE
            WHEN m.verdict = 'unassessable' THEN ''
            WHEN NOT p.online THEN 'the gateway is offline: ' || p.reason
            WHEN p.boot <> m.boot THEN 'the agent was started anew and has not told it yet'
            WHEN m.expires_at <= m.heard_at
                THEN 'its age is not known; it counts when it is told again'
            WHEN statement_timestamp() >= m.expires_at THEN 'no longer valid: nothing heard in time'
            WHEN m.heard_at > statement_timestamp() + interval '5 seconds' THEN 'the clock of the database was set back'
            ELSE '' END AS why,
        m.since, m.text, m.reasons, m.data, m.boot, m.seq, m.heard_at, m.expires_at, m.watched
    FROM model m
    JOIN gateway g ON g.id = m.gateway_id
    LEFT JOIN presence p ON p.gateway_id = m.gateway_id AND p.store = m.store
    WHERE (g.store = '' OR g.store = m.store OR (g.clash_until > statement_timestamp() AND g.clash @> to_jsonb(m.store)))
        AND (m.watched OR m.heard_at >= statement_timestamp() - interval '600000000 microseconds')
) w;
CREATE VIEW incident_now AS
SELECT i.gateway_id, i.site, i.gateway, i.store, i.incident, i.id AS told_by, i.cause, i.text,
    i.since, i.conditions, (SELECT coalesce(jsonb_agg(DISTINCT n.value ORDER BY n.value), '[]'::jsonb) FROM condition k CROSS JOIN LATERAL jsonb_array_elements_text(k.models) AS n(value) WHERE k.gateway_id = i.gateway_id AND k.store = i.store AND k.incident = i.incident AND k.open) AS models, i.data
FROM (
    SELECT c.gateway_id, g.site, g.gateway, c.store, c.incident, c.id, c.cause, c.text, c.data,
        min(c.raised_at) OVER (PARTITION BY c.gateway_id, c.store, c.incident) AS since,
        count(*) OVER (PARTITION BY c.gateway_id, c.store, c.incident) AS conditions,
        row_number() OVER (PARTITION BY c.gateway_id, c.store, c.incident
            ORDER BY CASE WHEN c.id = c.incident THEN 0 ELSE 1 END,
                CASE WHEN c.raised_at IS NULL THEN 0 ELSE 1 END, c.raised_at, c.id) AS place
    FROM condition c
    JOIN gateway g ON g.id = c.gateway_id
    WHERE c.open AND (g.store = '' OR g.store = c.store OR (g.clash_until > statement_timestamp() AND g.clash @> to_jsonb(c.store)))
) i
WHERE i.place = 1;
CREATE VIEW request_now AS
SELECT r.gateway_id, g.site, g.gateway, r.store, r.id, r.model, r.state, r.owner, r.since, r.text,
    r.hint, r.criteria, r.data
FROM request r
JOIN gateway g ON g.id = r.gateway_id
WHERE r.open AND (g.store = '' OR g.store = r.store OR (g.clash_until > statement_timestamp() AND g.clash @> to_jsonb(r.store)))
    AND NOT EXISTS (
        SELECT 1 FROM request t
        WHERE t.gateway_id = r.gateway_id AND t.store = r.store AND t.answers = r.id
            AND t.state = 'accepted');
CREATE VIEW change_now AS
SELECT g.id AS gateway_id, g.site, g.gateway, c.value ->> 'id' AS id, c.value ->> 'source' AS source, c.value ->> 'state' AS state, c.value ->> 'grade' AS grade, c.value ->> 'hold' AS hold, c.value ->> 'text' AS text, c.value -> 'models' AS models, c.value -> 'needs' AS needs, (c.value ->> 'since_ns')::bigint AS since_ns, (c.value ->> 'tags')::bigint AS tags,
    g.contract_said_at, g.contract_heard_at
FROM gateway g
CROSS JOIN LATERAL jsonb_array_elements(g.changes) AS c(value);
CREATE VIEW gateway_now AS
SELECT g.id AS gateway_id, g.site, g.gateway, g.store, g.boot, g.online, g.reason, g.since,
    g.heard_at, g.time_quality, g.version, g.contract_hash, g.contract_made, g.held_tags,
    g.open_changes, g.changes, g.promise,
    CASE WHEN g.clash_until > statement_timestamp() THEN g.clash END AS clash,
    coalesce(m.models, 0) AS models, coalesce(m.trusted, 0) AS trusted,
    coalesce(m.caution, 0) AS caution, coalesce(m.untrusted, 0) AS untrusted,
    coalesce(m.unassessable, 0) AS unassessable, coalesce(m.rank, 4) AS rank,
    coalesce(i.incidents, 0) AS open_incidents, coalesce(r.requests, 0) AS open_requests,
    coalesce(l.missing, 0) AS missing, coalesce(l.awaited, 0) AS awaited
FROM gateway g
LEFT JOIN (
    SELECT gateway_id, count(*) AS models, min(rank) AS rank,
        sum(CASE WHEN verdict = 'trusted' THEN 1 ELSE 0 END) AS trusted,
        sum(CASE WHEN verdict = 'caution' THEN 1 ELSE 0 END) AS caution,
        sum(CASE WHEN verdict = 'untrusted' THEN 1 ELSE 0 END) AS untrusted,
        sum(CASE WHEN verdict = 'unassessable' THEN 1 ELSE 0 END) AS unassessable
    FROM model_now GROUP BY gateway_id
) m ON m.gateway_id = g.id
LEFT JOIN (
    SELECT gateway_id, count(*) AS incidents FROM (
        SELECT DISTINCT c.gateway_id, c.store, c.incident FROM condition c
        JOIN gateway g ON g.id = c.gateway_id
        WHERE c.open AND (g.store = '' OR g.store = c.store OR (g.clash_until > statement_timestamp() AND g.clash @> to_jsonb(c.store)))) d GROUP BY gateway_id
) i ON i.gateway_id = g.id
LEFT JOIN (
    SELECT gateway_id, count(*) AS requests FROM request_now GROUP BY gateway_id
) r ON r.gateway_id = g.id
LEFT JOIN (
    SELECT gateway_id, CAST(sum(missing) AS BIGINT) AS missing,
        CAST(sum(awaited) AS BIGINT) AS awaited
    FROM mark WHERE missing > 0 OR awaited > 0 GROUP BY gateway_id
) l ON l.gateway_id = g.id;
CREATE VIEW total_now AS
SELECT t.day, g.site, g.gateway, s.model, s.tag, s.baseline, s.unit, s.per_hour, s.centre, s.scale,
    t.windows, t.count, t.good, t.scans, t.extrapolating, t.jointly,
    CASE WHEN t.good > 0 THEN s.centre + s.scale * CAST(t.sum AS DOUBLE PRECISION)
        / t.good / 1024.0 END AS mean,
    s.centre + s.scale * t.min / 1024.0 AS least, s.centre + s.scale * t.max / 1024.0 AS greatest
FROM total t
JOIN series s ON s.id = t.series_id
JOIN gateway g ON g.id = s.gateway_id;
