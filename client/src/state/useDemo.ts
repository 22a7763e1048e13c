import { useEffect, useState } from "react";
import { get } from "../api/client";
import { afterCharts } from "../api/order";
import type { AnswerOf } from "../api/types";

const LOOK_MS = 2000;

export type Demo = AnswerOf<"/">["demo"];

/** Whether the people of a demo have all their readings, looked at until they do; null where this is no demo. */
export function useDemo(): Demo {
  const [demo, setDemo] = useState<Demo>(null);
  useEffect(() => {
    const control = new AbortController();
    let timer = 0;
    const look = () => {
      get("/", {}, control.signal)
        .then((server) => {
          setDemo(server.demo ?? null);
          if (server.demo === "filling") timer = window.setTimeout(look, LOOK_MS);
        })
        .catch(() => {});
    };
    afterCharts(control.signal).then(look, () => {});
    return () => {
      control.abort();
      window.clearTimeout(timer);
    };
  }, []);
  return demo;
}
