"use client";
/** `<img data-thumb>` for React, with `onPreview` and `onPreviewError`. */

import { createElement, useCallback, useRef } from "react";

import { hasPreview } from "./images.js";

/** @type {import("./react.js").ThumbImage} */
export function ThumbImage({ onPreview, onPreviewError, ref, ...attributes }) {
  const handlers = useRef({});
  handlers.current = { preview: onPreview, previewerror: onPreviewError };
  const setImage = useCallback((image) => {
    if (typeof ref === "function") ref(image);
    else if (ref) ref.current = image;
    if (!image) return;
    const handle = (event) => handlers.current[event.type]?.(event);
    for (const type of ["preview", "previewerror"]) image.addEventListener(type, handle);
    if (hasPreview(image)) handle(new Event("preview")); // painted before hydration
  }, [ref]);
  return createElement("img", { ...attributes, ref: setImage });
}
